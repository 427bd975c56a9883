"""The structure of a document: what the schemas say of it, piece by piece.

A piece that is fine costs microseconds. Only one that is not is explained, and only as many as a
problem lists, so that a hostile document costs no more than an honest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, cast

from sonda.pipeline.model import Signal
from sonda.pipeline.problems import MAX_ISSUES, Forbidden, Invalid, Malformed, ValidationIssue
from sonda.pipeline.scenarios.reading import Path, plain
from sonda.pipeline.schemas.issues import find_issues, unknown_variant
from sonda.pipeline.schemas.registry import (
    CHANGE,
    ENTRY,
    GENERATORS,
    SCENARIO,
    GeneratorKind,
    compile_fast,
)
from sonda.pipeline.schemas.remedies import did_you_mean
from sonda.pipeline.text.escape import at, kind_of, quote, variant

if TYPE_CHECKING:
    from sonda.pipeline.scenarios.log_generators import Message

MOST_ENTRIES: Final = 1000
NOT_YET: Final = "not supported yet"
_HEAD: Final = ("version", "kind", "scenario_name", "description", "tags", "seed", "defaults")
_NOT_YET_KEYS: Final = (
    "while",
    "delay",
    "expect",
    "pack",
    "overrides",
)
_OF_SIGNAL: Final[Mapping[str, GeneratorKind]] = {
    "metrics": "generator",
    "logs": "log_generator",
    "histogram": "distribution",
    "summary": "distribution",
}
EVENTS_OF: Final[Mapping[str, Signal]] = {
    "metrics": "metrics",
    "logs": "logs",
    "histogram": "metrics",
    "summary": "metrics",
}
"""What an entry's events are to sinks, by its `signal_type`."""
_OBSERVED: Final = ("observations_per_tick", "mean_shift_per_sec", "seed")
_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "metrics": ("jitter", "jitter_seed", "metric_type", "help"),
    "logs": ("jitter", "jitter_seed"),
    "histogram": ("buckets", "metric_type", "help", *_OBSERVED),
    "summary": ("quantiles", "metric_type", "help", *_OBSERVED),
}
"""Fields that not every signal has."""
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "metrics": ("gauge", "counter", "untyped"),
    "histogram": ("histogram",),
    "summary": ("summary",),
}
"""What a signal's `metric_type` can be."""
_BRANCHES: Final = {"entry": ENTRY, "scenario": SCENARIO, "change": CHANGE}


@dataclass(slots=True)
class Issues:
    """What is wrong so far: of structure, of values, and by the operator's rules."""

    structural: list[ValidationIssue] = field(default_factory=list)
    values: list[ValidationIssue] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    more: int = 0

    def structure(self, path: Path, reason: str) -> None:
        """Add an issue of structure."""
        self.structural.append(ValidationIssue(at(*path), reason))

    def value(self, path: Path, reason: str) -> None:
        """Add an issue of a value."""
        self.values.append(ValidationIssue(at(*path), reason))

    def forbid(self, path: Path, reason: str) -> None:
        """Add what the operator's rules say no to."""
        self.forbidden.append(f"{at(*path)}: {reason}")

    def extend(self, path: Path, issues: Iterable[ValidationIssue], *, structural: bool) -> None:
        """Add issues whose paths begin at *path*."""
        known = self.structural if structural else self.values
        known += [_inside(path, issue) for issue in issues]

    @property
    def full(self) -> bool:
        """Whether a problem could list no further issue of structure."""
        return len(self.structural) >= MAX_ISSUES

    def problem(self) -> Malformed | Invalid | Forbidden | None:
        """Return what the document fails with: issues of values only where there are none of structure.

        What is forbidden comes last, and the first of it stands for all.
        """
        for kind, found in ((Malformed, self.structural), (Invalid, self.values)):
            if found:
                known = tuple(dict.fromkeys(found))
                more = max(0, len(known) - MAX_ISSUES) + self.more
                return kind(known[:MAX_ISSUES], more)
        return Forbidden(self.forbidden[0]) if self.forbidden else None


def _inside(path: Path, issue: ValidationIssue) -> ValidationIssue:
    """Return the issue of a piece as one of the document.

    A reason that names its subject says enough only where the document is a single entry.
    """
    if not path:
        enough = issue.names_subject and not issue.path.startswith("defaults.")
        return replace(issue, names_subject=enough)
    inner = issue.path if issue.path[:1] in ("", "[") else f".{issue.path}"
    return ValidationIssue(f"{at(*path)}{inner}", issue.reason)


@dataclass(frozen=True, slots=True)
class Replay:
    """Rows of a file: when each is, in nanoseconds after the first, and what it says."""

    times_ns: Sequence[int]
    values: Sequence[float] | None = None
    messages: Sequence[Message] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry as written, where it stands in the document, and the rows that it replays."""

    path: Path
    written: dict[str, Any]
    is_sound: bool = True
    replay: Replay | None = field(default=None, repr=False)


@cache
def _fast(name: str) -> Any:
    return compile_fast(_schema(name))


def _schema(name: str) -> Mapping[str, Any]:
    kind, _, inner = name.partition(".")
    if kind in _BRANCHES:
        return _BRANCHES[kind]
    return GENERATORS[cast("GeneratorKind", kind)][inner]


@cache
def _explaining(name: str) -> Any:
    from sonda.pipeline.schemas.validators import compile_explaining  # costs 30 ms to import

    return _FirstErrors(compile_explaining(_schema(name)))


class _FirstErrors:
    """A validator that stops where no problem would list more."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    def iter_errors(self, value: Any) -> Iterator[Any]:
        return islice(self._validator.iter_errors(value), 3 * MAX_ISSUES)


def _check(name: str, value: Any, path: Path, issues: Issues) -> bool:
    """Check one piece by the schema *name*; return whether it is fine."""
    simple = plain(value)
    if _fast(name).is_valid(simple):
        return True
    if issues.full:
        issues.more += 1
        return False
    for found in find_issues(_explaining(name), simple):
        if found.issue is None:
            issues.more += found.times
        else:
            issues.extend(path, [found.issue], structural=found.structural)
    return False


def check_change(written: dict[str, Any], issues: Issues) -> None:
    """Check what is asked of an entry that runs."""
    _check("change", written, (), issues)


def examine(tree: dict[str, Any], issues: Issues) -> tuple[dict[str, Any], list[Piece]]:
    """Check a document's structure; return its head and its entries, as far as they can be read."""
    if tree.get("kind") == "composable":
        issues.value(("kind",), f"composable: {NOT_YET}")
        return {}, []
    several = "scenarios" in tree
    if not several and (slips := [name for name in tree if did_you_mean(name, ["scenarios"])]):
        reason = f"unknown field {variant(slips[0])}{did_you_mean(slips[0], ['scenarios'])}"
        issues.structure((), reason)
        return {}, []
    head = {name: value for name, value in tree.items() if several or name in _HEAD}
    own = {} if several else {name: value for name, value in tree.items() if name not in _HEAD}
    written = head.pop("scenarios", [])
    _version(head.pop("version", 2), issues)
    defaults = head.get("defaults")
    if isinstance(defaults, dict):
        head["defaults"] = dict(_supported(defaults, ("defaults",), issues))
    if several:
        head = dict(_supported(head, (), issues))
    is_sound = _check("scenario", {**head, "scenarios": []}, (), issues)
    if not is_sound:
        head = dict(_sound_parts(head))
    if not several:
        return head, [_entry(own, (), issues)]
    if not isinstance(written, list):
        issues.structure(("scenarios",), f"expected an array, got {kind_of(written)}")
    elif not written:
        issues.structure(("scenarios",), "expected at least one entry")
    elif len(written) > MOST_ENTRIES:
        issues.value(
            ("scenarios",), f"{len(written):,} entries; at most {MOST_ENTRIES:,} are allowed"
        )
    else:
        return head, [
            _entry(entry, ("scenarios", place), issues) for place, entry in enumerate(written)
        ]
    return head, []


def _sound_parts(head: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what of a head can be used to go on; of `defaults` each part by itself."""
    for name, value in head.items():
        if _is_sound_head(name, value):
            yield name, value
        elif name == "defaults" and isinstance(value, dict):
            parts = {
                part: inner for part, inner in value.items() if _is_sound_head(name, {part: inner})
            }
            yield (
                name,
                ({"rate": 1} if "rate" in value else {}) | parts,
            )  # a wrong one is not missing


def _is_sound_head(name: str, value: Any) -> bool:
    return bool(_fast("scenario").is_valid(plain({name: value, "scenarios": []})))


def _version(version: Any, issues: Issues) -> None:
    if isinstance(version, (bool, str)) or version != 2:  # noqa: PLR2004  # the only one there is
        issues.structure(("version",), f"unknown variant {quote(plain(version))}, expected 2")


def _supported(written: dict[str, Any], path: Path, issues: Issues) -> Iterator[tuple[str, Any]]:
    """Yield what a later version does not have to explain, and note the rest."""
    for name, value in written.items():
        if name in _NOT_YET_KEYS:
            issues.value((*path, name), NOT_YET)
        else:
            yield name, value


def _entry(written: Any, path: Path, issues: Issues) -> Piece:
    if not isinstance(written, dict):
        issues.structure(path, f"expected an object, got {kind_of(written)}")
        return Piece(path, {}, is_sound=False)
    entry = dict(_supported(written, path, issues))
    signal = entry.get("signal_type")
    is_sound = _check("entry", entry, path, issues)
    if isinstance(signal, str) and signal in _OWN:
        for name in sorted({*chain(*_OWN.values())}.intersection(entry).difference(_OWN[signal])):
            issues.structure(path, f"unknown field '{name}'")
            is_sound = False
    if is_sound and entry.get("metric_type", "") not in ("", *_TYPES.get(str(signal), ())):
        reason = unknown_variant(entry["metric_type"], _TYPES[str(signal)])
        issues.structure((*path, "metric_type"), reason)
        is_sound = False
    is_sound = _generators(entry, path, issues) and is_sound
    is_sound = _dynamic_labels(entry.get("dynamic_labels"), path, issues) and is_sound
    return Piece(path, entry, is_sound)


def _generators(entry: dict[str, Any], path: Path, issues: Issues) -> bool:
    """Check the generator that the entry's signal needs, and that it has no other."""
    wanted = _OF_SIGNAL.get(str(entry.get("signal_type")))
    is_sound = True
    for kind in dict.fromkeys(_OF_SIGNAL.values()):
        if wanted is not None and kind != wanted and kind in entry:
            issues.structure(path, f"unknown field '{kind}'")
            is_sound = False
        elif kind == wanted and kind not in entry:
            issues.structure(path, f"missing field '{kind}'")
            is_sound = False
        elif isinstance(entry.get(kind), dict):
            is_sound = _generator(kind, entry[kind], (*path, kind), issues) and is_sound
    return is_sound


def _generator(kind: GeneratorKind, written: dict[str, Any], path: Path, issues: Issues) -> bool:
    name = written.get("type")
    if not isinstance(name, str):
        return False  # the entry's schema has said so
    if name not in GENERATORS[kind]:
        issues.structure((*path, "type"), unknown_variant(name, GENERATORS[kind]))
        return False
    return _check(f"{kind}.{name}", written, path, issues)


def _dynamic_labels(written: Any, path: Path, issues: Issues) -> bool:
    """Check that each has either `cardinality` or `values`."""
    is_sound = True
    for place, label in enumerate(written if isinstance(written, list) else []):
        if not isinstance(label, dict) or issues.full:
            continue
        where = (*path, "dynamic_labels", place)
        given = [name for name in ("cardinality", "prefix") if name in label]
        if "values" in label and given:
            issues.structure(where, f"unknown field '{given[0]}'")
            is_sound = False
        elif "values" not in label and "cardinality" not in label:
            issues.structure(where, "missing field 'cardinality'")
            is_sound = False
    return is_sound
