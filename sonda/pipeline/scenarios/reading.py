"""From bytes, a file's text or a mapping to one plain tree, whose numbers keep their decimal text.

The tree has objects, lists, strings, integers, `Decimal`s, booleans and null, of these very types:
a program's `StrEnum` becomes a string. It is a copy, bounded by the number of its values, so that
aliases in YAML cannot multiply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.events import options_document
from sonda.pipeline.problems import Malformed, Problem, ValidationIssue
from sonda.pipeline.scenarios.numbers import is_exact
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.text.escape import at, kind_of, quote
from sonda.pipeline.values.decimals import read_decimal

MOST_BYTES: Final = 1 << 20
"""The most that a document may be long."""
_MOST_VALUES: Final = 1 << 20  # a document of as many bytes cannot write more
_DEEPEST: Final = 60
_PLACEHOLDER: Final = re.compile(r"\$(?:\$|\{([^}]*)\})")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A scenario as written: *tree* with its numbers' text, and where a number cannot be used."""

    tree: dict[str, Any]
    bad_numbers: tuple[Path, ...] = ()


def read_json(raw: bytes) -> Result[Document, Problem]:
    """Read a document in JSON, as strictly as an event; fails with `NotJson` or `Malformed`."""
    if len(raw) > MOST_BYTES:
        return Failure(_too_long())
    return parse(raw).bind(lambda _: from_tree(json.loads(raw, parse_float=read_decimal)))


def read_yaml(raw: bytes) -> Result[Document, Problem]:
    """Read a document in YAML; fails with `Malformed`."""
    return _yaml_tree(raw).bind(from_tree)


def read_file(raw: bytes, environment: Mapping[str, str]) -> Result[Document, Problem]:
    """Read a file in YAML or JSON, with `${NAME}` in its values replaced from *environment*."""
    tree: Result[Any, Problem] = Failure(_too_long())
    if len(raw) <= MOST_BYTES:
        tree = (
            Success(json.loads(raw, parse_float=read_decimal)) if is_json(raw) else _yaml_tree(raw)
        )
    return tree.bind(lambda value: _copy(value, environment))


def is_json(raw: bytes) -> bool:
    """Return whether a file is read as JSON; all else is YAML."""
    return raw.lstrip()[:1] == b"{" and isinstance(parse(raw), Success)


def from_tree(tree: object) -> Result[Document, Problem]:
    """Copy what a program has put together; fails with `Malformed`."""
    return _copy(tree, None)


def _too_long() -> Problem:
    return _unreadable(f"the scenario is longer than {MOST_BYTES:,} bytes")


def _unreadable(reason: str) -> Problem:
    return Malformed((ValidationIssue("", reason),))


def _yaml_tree(raw: bytes) -> Result[Any, Problem]:
    from sonda.pipeline.text.strict_yaml import read_document

    if len(raw) > MOST_BYTES:
        return Failure(_too_long())
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        return Failure(_unreadable(f"the scenario is not UTF-8 at byte {exc.start}"))
    return read_document(text).alt(_unreadable)


class _Unusable(Exception):  # noqa: N818  # it never leaves this module
    """The tree holds what no document can."""


@dataclass(slots=True)
class _Copier:
    environment: Mapping[str, str] | None
    values: int = 0
    bad_numbers: list[Path] = field(default_factory=list)
    unset: list[ValidationIssue] = field(default_factory=list)

    def copy(self, value: Any, path: Path) -> Any:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise _Unusable("the scenario holds too many values")
        if len(path) > _DEEPEST:
            raise _Unusable("the scenario is nested too deeply")
        match value:
            case None | bool():
                return value
            case str():
                return self._text(str.__str__(value), path)
            case int() | float() | Decimal():
                return self._number(_plain_number(value), path)
            case Mapping():
                return {
                    (known := self._name(name, path)): self.copy(inner, (*path, known))
                    for name, inner in value.items()
                }
            case list() | tuple():
                return [self.copy(inner, (*path, place)) for place, inner in enumerate(value)]
            case _ if is_dataclass(value) and not isinstance(value, type):
                return self.copy(options_document(value), path)
            case _:
                raise _Unusable(f"{at(*path)}: {type(value).__name__} is no JSON value")

    def _number(self, value: int | Decimal, path: Path) -> int | Decimal:
        if is_exact(value):
            return value
        self.bad_numbers.append(path)
        return 1

    def _name(self, name: object, path: Path) -> str:
        if not isinstance(name, str):
            raise _Unusable(f"{at(*path)}: the name {name!r} is no string")
        return _encodable(str.__str__(name))

    def _text(self, text: str, path: Path) -> Any:
        if self.environment is None or "$" not in text:
            return _encodable(text)
        whole = _PLACEHOLDER.fullmatch(text)
        if whole is not None and whole[1] is not None:
            from sonda.pipeline.text.strict_yaml import read_scalar

            found = self._value(whole[1], path)
            try:
                scalar = read_scalar(found)
            except ValueError:  # an integer of more digits than Python reads
                return found
            return self._number(scalar, path) if isinstance(scalar, Decimal) else scalar
        return _PLACEHOLDER.sub(
            lambda found: "$" if found[1] is None else self._value(found[1], path), text
        )

    def _value(self, inside: str, path: Path) -> str:
        match = _NAME.fullmatch(inside)
        if match is None:
            reason = f"expected ${{NAME}} or ${{NAME:-default}}, got {quote(f'${{{inside}}}')}; $$ is a $"
            self.unset.append(ValidationIssue(at(*path), reason))
            return ""
        name, default = match.groups()
        found = (self.environment or {}).get(name, default)
        if found is None:
            reason = f"the environment has no {name}, and ${{{name}}} no default"
            self.unset.append(ValidationIssue(at(*path), reason))
        return found or ""


def _plain_number(value: float | Decimal) -> int | Decimal:
    """Return a number of the very type, without its text where a subclass writes another."""
    match value:
        case int():
            return int.__int__(value)
        case float():
            return Decimal(float.__repr__(value))
        case _:
            return Decimal(value)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unusable(
            "the scenario holds a lone surrogate, which no UTF-8 text can carry"
        ) from None
    return text


def _copy(tree: object, environment: Mapping[str, str] | None) -> Result[Document, Problem]:
    copier = _Copier(environment)
    try:
        copied = copier.copy(tree, ())
    except _Unusable as exc:
        return Failure(_unreadable(str(exc)))
    if not isinstance(copied, dict):
        reason = f"expected an object, got {kind_of(copied)}"
        return Failure(Malformed((ValidationIssue("", reason),)))
    if copier.unset:
        return Failure(Malformed(tuple(copier.unset)))
    return Success(Document(copied, tuple(copier.bad_numbers)))


def plain(value: Any) -> Any:
    """Return a tree with every `Decimal` as the nearest double, as JSON has it."""
    match value:
        case Decimal():
            return float(value)
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return value
