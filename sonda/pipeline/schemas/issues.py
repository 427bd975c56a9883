"""From a validator's errors to the contract's words.

The failed keyword decides between structure (400) and values (422).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.text.escape import (
    QUOTED_CHARACTERS,
    at,
    cut,
    escape,
    hide_login,
    kind_of,
    quote,
    variant,
)

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_ARTICLES: Final = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "a boolean",
}


_ORDER: Final = {"log": 1, "metric": 1, "encoder": 2, "sink": 3}  # all else: the envelope, first


Path: TypeAlias = tuple[str | int, ...]


class SchemaError(NamedTuple):
    """A flaw, its turn in a detail, and whether it is one of structure or of a value."""

    turn: int
    structural: bool
    flaw: ValidationIssue


def finding(path: Path, reason: str, *, structural: bool = False) -> SchemaError:
    """Say what is wrong with the value at *path*."""
    return SchemaError(turn(path), structural, ValidationIssue(at(*path), reason))


def turn(path: Path) -> int:
    """Tell where in a detail a flaw at *path* stands."""
    return _ORDER.get(str(path[0]), 0) if path else 0


def find_issues(validator: Validator, document: Any, *where: str) -> list[SchemaError]:
    """Name all that is wrong with *document*, which stands at *where* in the body."""
    found: dict[SchemaError, None] = {}  # a dict: in order, and each flaw once
    for error in _telling(list(validator.iter_errors(document))):
        path = (*where, *error.absolute_path)
        structural = list(_structural(error, path))
        for flaw in structural or [_value(error, path)]:
            found[SchemaError(turn(path), bool(structural), flaw)] = None
    return list(found)


def _telling(errors: list[ValidationError]) -> Iterator[ValidationError]:
    """Leave out what another error explains: the value of a wrong type, an unknown field's inside."""
    explaining = {
        tuple(error.absolute_path): error
        for error in errors
        if error.validator == "type" or _allows_nothing(error)
    }
    for error in errors:
        path = tuple(error.absolute_path)
        ways_there = (path[:depth] for depth in range(1, len(path) + 1))
        if all(explaining.get(way, error) is error for way in ways_there):
            yield error


def _allows_nothing(error: ValidationError) -> bool:
    """Tell whether the schema is `{"not": {}}`: how ours say that a field must not be there."""
    return error.validator == "not" and error.validator_value == {}


def unknown_variant(value: str, expected: Iterable[str]) -> str:
    """Say that an enumerated value is none of those *expected*."""
    names = [f"'{name}'" for name in expected]
    wanted = f"one of {', '.join(names)}" if names[2:] else " or ".join(names)
    return f"unknown variant {variant(value)}, expected {wanted}"


def _structural(error: ValidationError, path: Path) -> Iterator[ValidationIssue]:
    schema, wanted, found = _facts(error)
    match error.validator:
        case "type":
            got = quote(found) if wanted == "integer" else kind_of(found)
            yield ValidationIssue(at(*path), f"expected {_ARTICLES[wanted]}, got {got}")
        case "required":
            missing = (name for name in wanted if name not in found)
            yield from (ValidationIssue(at(*path), f"missing field '{name}'") for name in missing)
        case "additionalProperties":
            unknown = (name for name in found if name not in schema["properties"])
            yield from (_unknown_field(name, path) for name in unknown)
        case "not" if _allows_nothing(error):
            yield _unknown_field(str(path[-1]), path[:-1])
        case "enum":
            aliases = schema.get("x-aliases", {})
            expected = (name for name in wanted if name not in aliases)
            yield ValidationIssue(at(*path), unknown_variant(found, expected))


def _facts(error: ValidationError) -> tuple[Any, Any, Any]:
    """Give the schema that failed, its failed keyword's value, and the instance."""
    return error.schema, error.validator_value, error.instance


def _unknown_field(name: str, path: Path) -> ValidationIssue:
    return ValidationIssue(at(*path), f"unknown field {variant(name)}")


def _value(error: ValidationError, path: Path) -> ValidationIssue:
    schema, _, found = _facts(error)
    shown = _shown(found, schema)
    if "x-detail" in schema:
        return ValidationIssue("", schema["x-detail"].replace("{value}", shown))
    reason = _reason(error)
    if error.absolute_schema_path[-2] == "propertyNames":
        return ValidationIssue(at(*path), f"invalid name {shown}: {reason}")
    if isinstance(found, dict):
        return ValidationIssue(at(*path), reason)
    return ValidationIssue(
        at(*path), f"invalid value {shown}: {reason}" if shown else f"invalid value: {reason}"
    )


def _shown(value: object, schema: Any) -> str:
    if schema.get("x-secret"):
        return ""
    if isinstance(value, str) and schema.get("x-secret-userinfo"):
        return quote(hide_login(value))
    return quote(value)


def _reason(error: ValidationError) -> str:
    """Return why a value is wrong, cut: a library's reason may quote all of the value."""
    return escape(cut(_own_reason(error), QUOTED_CHARACTERS))


def _own_reason(error: ValidationError) -> str:
    schema, wanted, _ = _facts(error)
    match error.validator:
        case "format":
            return str(error.cause)
        case "minLength":
            return "must not be empty"
        case _ if "x-expected" in schema:
            return f"expected {schema['x-expected']}"
        case "minimum" | "maximum" if "minimum" in schema and "maximum" in schema:
            return f"must be from {schema['minimum']} to {schema['maximum']}"
        case "minimum":
            return f"must be at least {wanted}"
        case "dependentRequired":
            return "; ".join(
                f"{field} needs {' and '.join(needs)}" for field, needs in wanted.items()
            )
        case _:
            return error.message  # of our own keywords
