"""From a validator's errors to the contract's words.

The failed keyword decides between structure (400) and values (422): `is_structural`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sonda.pipeline.problems import MAX_ISSUES, Invalid, Malformed, ValidationIssue
from sonda.pipeline.schemas.remedies import did_you_mean, try_label
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


_UNQUOTED: Final = {
    "number": re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?"),
    "integer": re.compile(r"-?[0-9]{1,30}"),
    "boolean": re.compile(r"true|false"),
}
"""Text that would have the type if it stood without quotes."""

_OF_STRUCTURE: Final = frozenset({"type", "required", "enum", "additionalProperties"})

_ORDER: Final = {"log": 1, "metric": 1, "encoder": 2, "sink": 3}  # all else: the envelope, first


_MORE: Final = "x-more"  # of `validators`, which is not imported for a body that is fine

Path: TypeAlias = tuple[str | int, ...]


class SchemaError(NamedTuple):
    """An issue, its place in a detail, and whether structure is wrong or a value.

    Without an *issue* it stands for *times* further ones that have not been put into words.
    """

    order: int
    structural: bool
    issue: ValidationIssue | None
    times: int = 1


def schema_error(path: Path, reason: str, *, structural: bool = False) -> SchemaError:
    """Return what is wrong with the value at *path*."""
    return SchemaError(order_of(path), structural, ValidationIssue(at(*path), reason))


def order_of(path: Path) -> int:
    """Return where in a detail an issue at *path* stands: envelope, event, encoder, sink."""
    return _ORDER.get(str(path[0]), 0) if path else 0


def problem_of(errors: Iterable[SchemaError]) -> Malformed | Invalid | None:
    """Return the problem that all *errors* make, those of structure alone where there are any."""
    listed = sorted(errors, key=lambda error: (not error.structural, error.order))
    if not listed:
        return None
    structural = listed[0].structural
    concerned = [error for error in listed if error.structural == structural]
    issues = [error.issue for error in concerned if error.issue is not None][:MAX_ISSUES]
    more = sum(error.times for error in concerned) - len(issues)
    return (Malformed if structural else Invalid)(tuple(issues), more)


def find_issues(validator: Validator, document: Any, *where: str) -> list[SchemaError]:
    """Return all that is wrong with *document*, which stands at *where* in the body."""
    found = [
        made
        for error in _independent(list(validator.iter_errors(document)))
        for made in _schema_errors(error, (*where, *error.absolute_path))
    ]
    worded = dict.fromkeys(error for error in found if error.issue is not None)  # each once
    return [*worded, *(error for error in found if error.issue is None)]


def is_structural(error: ValidationError) -> bool:
    """Return whether an error is one of structure (400): a field's presence, type or variant.

    All others are of values (422). `x-more` stands for errors of either kind, and says which.
    """
    if error.validator == _MORE:
        return bool(_facts(error)[1][0])
    return error.validator in _OF_STRUCTURE or _allows_nothing(error)


def _schema_errors(error: ValidationError, path: Path) -> Iterator[SchemaError]:
    """Put an error into words, one issue for each thing that it finds wrong."""
    order, structural = order_of(path), is_structural(error)
    if error.validator == _MORE:
        yield SchemaError(order, structural, None, times=_facts(error)[1][1])
    elif error.validator == "additionalProperties":
        yield from _unknown_fields(error, path)
    else:
        for issue in _structural(error, path) if structural else [_value(error, path)]:
            yield SchemaError(order, structural, issue)


def _independent(errors: list[ValidationError]) -> Iterator[ValidationError]:
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
    """Return whether the schema is `{"not": {}}`: how ours say that a field must not be there."""
    return error.validator == "not" and error.validator_value == {}


def unknown_variant(
    value: str, expected: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> str:
    """Return the reason why *value* is wrong, which is none of those *expected*."""
    known = list(expected)
    names = [f"'{name}'" for name in known]
    wanted = f"one of {', '.join(names)}" if names[2:] else " or ".join(names)
    remedy = did_you_mean(value, known, synonyms)
    return f"unknown variant {variant(value)}, expected {wanted}{remedy}"


def _structural(error: ValidationError, path: Path) -> Iterator[ValidationIssue]:
    schema, wanted, found = _facts(error)
    match error.validator:
        case "type":
            got = quote(found) if wanted == "integer" else kind_of(found)
            reason = f"expected {_ARTICLES[wanted]}, got {got}{_hint(schema) or _quoting(schema, wanted, found)}"
            yield ValidationIssue(at(*path), reason)
        case "required":
            missing = (name for name in wanted if name not in found)
            yield from (ValidationIssue(at(*path), f"missing field '{name}'") for name in missing)
        case "not" if _allows_nothing(error):
            yield ValidationIssue(at(*path[:-1]), f"unknown field {variant(str(path[-1]))}")
        case "enum":
            aliases = schema.get("x-aliases", {})
            expected = (name for name in wanted if name not in aliases)
            synonyms = {**aliases, **schema.get("x-synonyms", {})}
            yield ValidationIssue(at(*path), unknown_variant(found, expected, synonyms))


def _unknown_fields(error: ValidationError, path: Path) -> Iterator[SchemaError]:
    schema, _, found = _facts(error)
    order, known = order_of(path), schema["properties"]
    unknown = [name for name in found if name not in known]
    for name in unknown[:MAX_ISSUES]:
        reason = f"unknown field {variant(name)}{did_you_mean(name, known)}"
        yield SchemaError(order, structural=True, issue=ValidationIssue(at(*path), reason))
    if len(unknown) > MAX_ISSUES:
        yield SchemaError(order, structural=True, issue=None, times=len(unknown) - MAX_ISSUES)


def _facts(error: ValidationError) -> tuple[Any, Any, Any]:
    """Return the schema that failed, its failed keyword's value, and the instance."""
    return error.schema, error.validator_value, error.instance


def _hint(schema: Any) -> str:
    """Return the remedy that a schema itself has."""
    return f" ({schema['x-hint']})" if "x-hint" in schema else ""


def _quoting(schema: Any, wanted: str, found: object) -> str:
    """Return the remedy for a number as text or text as a number; it quotes no value."""
    if wanted == "string" and "enum" not in schema and isinstance(found, bool | int | float):
        is_duration = schema.get("x-expected", "").startswith("a duration")
        return " (write its unit, too, as in 10s)" if is_duration else " (put it in quotes)"
    if wanted in _UNQUOTED and isinstance(found, str) and _UNQUOTED[wanted].fullmatch(found):
        return " (leave out the quotes)"
    return ""


def _value(error: ValidationError, path: Path) -> ValidationIssue:
    schema, _, found = _facts(error)
    shown = _shown(found, schema)
    is_name = error.absolute_schema_path[-2] == "propertyNames"
    if "x-detail" in schema:
        reason = schema["x-detail"].replace("{value}", shown)
        if is_name and schema.get("x-hint-name"):
            reason += try_label(found)
        where = (*path, found) if is_name else path
        return ValidationIssue(at(*where), reason, names_subject=True)
    reason = _reason(error)
    if is_name or any(part == "propertyNames" for part in error.absolute_schema_path):
        return ValidationIssue(at(*path), f"invalid name {shown}: {reason}")
    if isinstance(found, (dict, list)):
        return ValidationIssue(at(*path), reason)
    quoted = f"invalid value {shown}" if shown else "invalid value"
    hint = _hint(schema) if reason.startswith("expected") else ""
    return ValidationIssue(at(*path), f"{quoted}: {reason}{hint}")


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
        case "maxItems":
            return f"must have at most {wanted} items"
        case "maxProperties":
            return f"must have at most {wanted} names"
        case "x-max-values":
            return error.message
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
