"""The schemas as jsonschema reads them, with keywords of our own: slow, but it explains what is wrong.

A body that is fine never comes here, so this and all that it imports are loaded for the first one
that is not. A body may hold a hundred thousand things that are wrong, and jsonschema takes 50 µs to
explain one: of the members of an object or an array, the first `MAX_ISSUES` are explained, and the
rest are counted, by the fast validator. Nor does an error quote its instance, which may be a
megabyte of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource

from sonda.pipeline.problems import MAX_ISSUES
from sonda.pipeline.schemas.formats import FORMATS
from sonda.pipeline.schemas.registry import (
    BY_ID,
    PLUGINS,
    REQUEST,
    Kind,
    Schema,
    ascend,
    compile_fast,
    is_reserved,
)

_PYTHON_TYPES: Final[dict[str, Any]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": (int, float),
}
MORE: Final = "x-more"
"""The keyword of an error that counts: its value is whether structure is wrong, and how often."""


def _reserved(
    _: Validator, owned: list[str], name: str, _schema: Schema
) -> Iterator[ValidationError]:
    if is_reserved(owned, name):
        yield ValidationError("is set by the sink itself")


def _durations_ascend(
    _: Validator, defaults: dict[str, str], instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if not ascend(defaults, instance):
        lower, upper = defaults
        yield ValidationError(f"must be at least {lower}", path=(upper,))


def _type(
    validator: Validator, wanted: str, instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, wanted):
        yield ValidationError("another type")


def _enum(
    _: Validator, wanted: list[str], instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if instance not in wanted:
        yield ValidationError("none of these")


def _not(
    validator: Validator, refused: Schema, instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if validator.evolve(schema=refused).is_valid(instance):
        yield ValidationError("must not be this")


def _property_names(
    validator: Validator, wanted: Schema, instance: Any, schema: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, dict) and len(instance) <= schema.get("maxProperties", len(instance)):
        yield from _each(validator, wanted, ((name, None) for name in instance))


def _additional_properties(
    validator: Validator, wanted: Any, instance: Any, schema: Schema
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    if isinstance(wanted, dict):
        others = ((value, name) for name, value in instance.items() if name not in known)
        yield from _each(validator, wanted, others)
    elif not wanted and any(name not in known for name in instance):
        yield ValidationError("unknown fields")


def _items(
    validator: Validator, wanted: Schema, instance: Any, schema: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, list):  # one that is too long is refused for that
        members = islice(instance, schema.get("maxItems"))
        yield from _each(validator, wanted, ((member, at) for at, member in enumerate(members)))


def _max_properties(
    _: Validator, most: int, instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, dict) and len(instance) > most:
        yield ValidationError("too many")


def _max_items(
    _: Validator, most: int, instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, list) and len(instance) > most:
        yield ValidationError("too many")


def _each(
    validator: Any, wanted: Schema, members: Iterable[tuple[Any, str | int | None]]
) -> Iterator[ValidationError]:
    """Explain the first members that are not as *wanted*, and count the others."""
    is_valid = _quick(json.dumps(wanted)) or validator.evolve(schema=wanted).is_valid
    expected = _PYTHON_TYPES.get(wanted.get("type", ""), object)
    wrong = {True: 0, False: 0}  # by whether the structure is
    for member, path in members:
        if is_valid(member):
            continue
        structural = not isinstance(member, expected)
        wrong[structural] += 1
        if wrong[structural] <= MAX_ISSUES:
            yield from validator.descend(member, wanted, path=path)
    for structural, count in wrong.items():
        if count > MAX_ISSUES:
            more = (structural, count - MAX_ISSUES)
            yield ValidationError("", validator=MORE, validator_value=more)


@cache
def _quick(schema: str) -> Callable[[Any], bool] | None:
    """Return the fast validator of a piece, unless it refers to others."""
    return None if '"$ref"' in schema else compile_fast(json.loads(schema)).is_valid


_ExplainingValidator: Final[type[Draft202012Validator]] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "x-reserved": _reserved,
        "x-durations-ascend": _durations_ascend,
        "type": _type,
        "enum": _enum,
        "not": _not,
        "propertyNames": _property_names,
        "additionalProperties": _additional_properties,
        "items": _items,
        "maxItems": _max_items,
        "maxProperties": _max_properties,
    },
)
_FORMAT_CHECKER: Final = FormatChecker(formats=())
for _name, _check in FORMATS.items():

    def _conforms(value: object, check: Any = _check) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    _FORMAT_CHECKER.checks(_name, raises=ValueError)(_conforms)

REGISTRY: Final[Registry[Any]] = Registry().with_resources(
    (uri, Resource.from_contents(schema)) for uri, schema in BY_ID.items()
)


@cache
def validator(kind: Kind | None = None, name: str = "") -> Validator:
    """Return the compiled schema of one encoder or sink, or of the envelope; a test checks it, not this."""
    return compile_explaining(PLUGINS[kind][name] if kind else REQUEST)


def compile_explaining(schema: Schema) -> Validator:
    """Compile one of our schemas to explain what is wrong."""
    return _ExplainingValidator(schema, registry=REGISTRY, format_checker=_FORMAT_CHECKER)
