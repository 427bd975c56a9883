"""From a validator's errors to the contract's words.

The failed keyword decides between structure (400) and values (422).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from sonda.pipeline.problems import Flaw, MissingExtra
from sonda.pipeline.quoting import at, hide_userinfo, kind_of, quote, variant

_ARTICLES: Final = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "a boolean",
}


_ORDER: Final = {"log": 1, "metric": 1, "encoder": 2, "sink": 3}  # all else: the envelope, first


class Finding(NamedTuple):
    """A flaw, its turn in a detail, and whether it is one of structure or of a value."""

    turn: int
    structural: bool
    flaw: Flaw | MissingExtra


def finding(path: tuple[str | int, ...], reason: str, *, structural: bool = False) -> Finding:
    """Say what is wrong with the value at *path*."""
    return Finding(turn(path), structural, Flaw(at(*path), reason))


def turn(path: tuple[str | int, ...]) -> int:
    """Tell where in a detail a flaw at *path* stands."""
    return _ORDER.get(str(path[0]), 0) if path else 0


def find_flaws(validator: Validator, document: object, *where: str) -> list[Finding]:
    """Name all that is wrong with *document*, which stands at *where* in the body."""
    found: dict[Finding, None] = {}  # a dict: in order, and each flaw once
    for error in _telling(list(validator.iter_errors(document))):
        path = (*where, *error.absolute_path)
        structural = list(_structural(error, path))
        for flaw in structural or [_value(error, path)]:
            found[Finding(turn(path), bool(structural), flaw)] = None
    return list(found)


def _telling(errors: list[ValidationError]) -> Iterable[ValidationError]:
    """Leave out what another error explains: values of a wrong type, the inside of unknown fields."""
    explained = {
        tuple(error.absolute_path): error.validator
        for error in errors
        if error.validator in ("type", None)
    }
    for error in errors:
        path = tuple(error.absolute_path)
        ways_there = [path[:depth] for depth in range(1, len(path) + 1)]
        if all(explained.get(way, error.validator) == error.validator for way in ways_there):
            yield error


def unknown_variant(value: str, expected: Iterable[str]) -> str:
    """Say that an enumerated value is none of those *expected*."""
    names = [f"'{name}'" for name in expected]
    wanted = " or ".join(names) if len(names) < 3 else f"one of {', '.join(names)}"
    return f"unknown variant {variant(value)}, expected {wanted}"


def _structural(error: ValidationError, path: tuple[str | int, ...]) -> Iterator[Flaw]:
    schema: Any = error.schema
    match error.validator:
        case "type":
            found = kind_of(error.instance)
            if error.validator_value == "integer" and found == "a number":
                found = quote(error.instance)
            yield Flaw(at(*path), f"expected {_ARTICLES[error.validator_value]}, got {found}")
        case "required":
            for name in error.validator_value:
                if name not in error.instance:
                    yield Flaw(at(*path), f"missing field '{name}'")
        case "additionalProperties":
            for name in error.instance:
                if name not in schema["properties"]:
                    yield _unknown_field(name, path)
        case None:  # a schema that is `false`: the other signal's field
            yield _unknown_field(str(path[-1]), path[:-1])
        case "enum":
            aliases = schema.get("x-aliases", {})
            expected = (name for name in schema["enum"] if name not in aliases)
            yield Flaw(at(*path), unknown_variant(error.instance, expected))


def _unknown_field(name: str, path: tuple[str | int, ...]) -> Flaw:
    return Flaw(at(*path), f"unknown field {variant(name)}")


def _value(error: ValidationError, path: tuple[str | int, ...]) -> Flaw:
    schema: Any = error.schema
    shown = _shown(error.instance, schema)
    if "x-detail" in schema:
        return Flaw("", schema["x-detail"].replace("{value}", shown))
    reason = _reason(error)
    if error.absolute_schema_path[-2] == "propertyNames":
        return Flaw(at(*path), f"invalid name {shown}: {reason}")
    if error.validator in ("dependentRequired", "x-durations-ascend"):
        return Flaw(at(*path), reason)
    return Flaw(at(*path), f"invalid value {shown}: {reason}" if shown else f"invalid value: {reason}")


def _shown(value: object, schema: Any) -> str:
    if schema.get("x-secret"):
        return ""
    if isinstance(value, str) and schema.get("x-secret-userinfo"):
        return quote(hide_userinfo(value))
    return quote(value)


def _reason(error: ValidationError) -> str:
    schema: Any = error.schema
    if error.cause is not None:  # a format's ValueError
        return str(error.cause)
    if "x-expected" in schema:
        return f"expected {schema['x-expected']}"
    match error.validator:
        case "minimum" | "maximum" if "minimum" in schema and "maximum" in schema:
            return f"must be from {schema['minimum']} to {schema['maximum']}"
        case "minimum":
            return f"must be at least {schema['minimum']}"
        case "minLength":
            return "must not be empty"
        case "dependentRequired":
            ((field, needed),) = error.validator_value.items()
            return f"{field} needs {' and '.join(needed)}"
        case _:
            return error.message  # of our own keywords
