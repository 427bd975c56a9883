"""The JSON Schemas: read once, each compiled once, on first use.

They are the only definition of a body's structure. Each is compiled twice: `fast_validator` only says
yes or no, in a microsecond, and `validators.validator`, a hundred times slower, explains what is
wrong. A property test holds the two together. Beside the keywords of draft 2020-12 they use
`format`s of our own (`formats.py`) and these:

- `x-detail`: the whole text of an issue, `{value}` in it replaced by the value;
  `x-expected`: what an issue says was expected; `x-hint`: the remedy in brackets at its end.
- `x-synonyms`: what people write for an enumerated value, or for a plug-in's name, and mean it.
- `x-secret`: the value is never shown; `x-secret-userinfo`: a URL's name and password are not.
- `x-aliases`: other spellings of an enumerated value, and what they stand for.
- `x-reserved`: header names, in any case, that the sink sets itself; a final `*` matches any rest.
- `x-durations-ascend`: two fields with their defaults, the second not below the first.
- `x-max-values`: how many values of any type it may hold, those inside of others included.
- `x-signals`, `x-payload`, `x-payloads`: the events an encoder takes, the kind of bytes it makes, the
  kinds a sink takes.
- `x-signal-option`: the option of a sink that must be the event's signal.
- `x-target`: the option that says where a sink's events go.
- `x-verify`: the sink's events can be read back: `url` by a query API, `place` where they were put.
- `x-resend`: `safe` where the destination keeps only one of two equal events.
- `x-extra`, `x-requires`: the extra that either needs, and the modules that it installs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import jsonschema_rs

from sonda.pipeline.schemas.formats import FORMATS, PATTERNS
from sonda.pipeline.values.durations import seconds

Schema: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["encoder", "sink"]
GeneratorKind: TypeAlias = Literal["generator", "log_generator", "distribution"]


def _folder() -> Path:
    """Return `schemas/`: inside an installed package, else at the top of the checkout."""
    inside = Path(__file__).parents[2] / "schemas"  # `importlib.resources` costs a start 5 ms
    return inside if inside.is_dir() else Path(__file__).parents[3] / "schemas"


def _read(folder: Path) -> dict[str, Schema]:
    found = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))
        for entry in found
        if entry.name.endswith(".json")
    }


_ENVELOPE: Final = _read(_folder())
REQUEST: Final = _ENVELOPE["request"]
COMMON: Final = _ENVELOPE["common"]
SCENARIO: Final = _ENVELOPE["scenario"]
CHANGE: Final = _ENVELOPE["scenario_change"]
"""What is asked of a scenario that runs."""
ENTRY: Final[Schema] = {
    "$id": "https://sonda.invalid/schemas/scenario/entry",
    "$ref": f"{SCENARIO['$id']}#/$defs/entry",
}
GENERATORS: Final[Mapping[GeneratorKind, Mapping[str, Schema]]] = {
    "generator": _read(_folder() / "generators"),
    "log_generator": _read(_folder() / "log_generators"),
    "distribution": _read(_folder() / "distributions"),
}
PLUGINS: Final[Mapping[Kind, Mapping[str, Schema]]] = {
    "encoder": _read(_folder() / "encoders"),
    "sink": _read(_folder() / "sinks"),
}

SYNONYMS: Final[Mapping[Kind, Mapping[str, str]]] = {
    kind: {word: name for name, facts in schemas.items() for word in facts.get("x-synonyms", ())}
    for kind, schemas in PLUGINS.items()
}
"""What people write for the name of a plug-in."""


def schemas_of(kind: Kind | GeneratorKind) -> Mapping[str, Schema]:
    """Return the schemas of a kind of plug-in, by name."""
    if kind in PLUGINS:
        return PLUGINS[cast("Kind", kind)]
    return GENERATORS[cast("GeneratorKind", kind)]


BY_ID: Final[Mapping[str, Schema]] = {
    schema["$id"]: schema
    for schemas in (_ENVELOPE, *PLUGINS.values(), *GENERATORS.values())
    for schema in schemas.values()
}


def is_reserved(owned: list[str], name: str) -> bool:
    """Return whether *name* is one of those *owned*, in any case; a final `*` matches any rest."""
    name = name.lower()
    return any(
        name.startswith(wanted[:-1]) if wanted[-1] == "*" else name == wanted
        for wanted in map(str.lower, owned)
    )


def ascend(defaults: Mapping[str, str], instance: object) -> bool:
    """Return whether the second of two durations is not below the first."""
    if not isinstance(instance, dict):
        return True
    try:
        lower, upper = (seconds(instance.get(field, text)) for field, text in defaults.items())
    except (TypeError, ValueError):
        return True  # no duration: other keywords say so
    return upper >= lower


def holds_at_most(most: int, instance: object) -> bool:
    """Return whether *instance* holds no more values, those inside of others included."""
    left, pending = most, [instance]
    while pending:
        value = pending.pop()
        if not isinstance(value, (dict, list)):
            continue
        left -= len(value)
        if left < 0:
            return False
        pending.extend(value.values() if isinstance(value, dict) else value)
    return True


class _MaxValues:
    """`x-max-values` for the fast validator."""

    def __init__(self, _schema: Schema, most: int, _path: list[Any]) -> None:
        self._most = most

    def validate(self, instance: Any) -> None:
        if not holds_at_most(self._most, instance):
            raise ValueError


class _DurationsAscend:
    """`x-durations-ascend` for the fast validator."""

    def __init__(self, _schema: Schema, defaults: Mapping[str, str], _path: list[Any]) -> None:
        self._defaults = defaults

    def validate(self, instance: Any) -> None:
        if not ascend(self._defaults, instance):
            raise ValueError


def _without_calls(schema: Any) -> Any:
    """Return a schema with regular expressions for what would call Python for every name and value."""
    if isinstance(schema, list):
        return [_without_calls(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _without_calls(inner) for name, inner in schema.items()}
    patterns: list[Schema] = []
    if isinstance(made.get("format"), str) and made["format"] in PATTERNS:
        patterns.append({"pattern": PATTERNS[made.pop("format")]})
    if isinstance(made.get("x-reserved"), list):
        owned = "|".join(map(_any_case, made.pop("x-reserved")))
        patterns.append({"not": {"pattern": f"^(?:{owned})$"}})
    return {**made, "allOf": [*made.get("allOf", []), *patterns]} if patterns else made


def _any_case(name: str) -> str:
    """Return a regular expression for a header's name in any case; a final `*` matches any rest."""
    letters = "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in name.rstrip("*"))
    return f"{letters}.*" if name.endswith("*") else letters


def _conforms_to(check: Callable[[str], object]) -> Callable[[str], bool]:
    def conforms(text: str) -> bool:
        try:
            check(text)
        except ValueError:
            return False
        return True

    return conforms


@cache
def _fast_registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry(
        [(schema["$id"], _without_calls(schema)) for schema in _ENVELOPE.values()]
    )


@cache
def fast_validator(kind: Kind | None = None, name: str = "") -> jsonschema_rs.Validator:
    """Compile the schema of one encoder or sink, or of the envelope, for a quick yes or no."""
    return compile_fast(PLUGINS[kind][name] if kind else REQUEST)


def compile_fast(schema: Schema) -> jsonschema_rs.Validator:
    """Compile one of our schemas for a quick yes or no."""
    return jsonschema_rs.Draft202012Validator(
        _without_calls(schema),
        registry=_fast_registry(),
        formats={name: _conforms_to(check) for name, check in FORMATS.items()},
        validate_formats=True,
        keywords={"x-durations-ascend": _DurationsAscend, "x-max-values": _MaxValues},
    )
