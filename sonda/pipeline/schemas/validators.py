"""The schemas as jsonschema reads them, with keywords of our own: slow, but it explains what is wrong.

A body that is fine never comes here, so this and all that it imports are loaded for the first one
that is not. A body may hold a hundred thousand things that are wrong, and jsonschema takes 50 µs to
explain one: of the members of an object or an array, the first `MAX_ISSUES` are explained, and the
rest are counted, by the fast validator. Nor does an error quote its instance, which may be a
megabyte of JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, Final, NamedTuple

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
    holds_at_most,
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


def _max_values(
    _: Validator, most: int, instance: Any, _schema: Schema
) -> Iterator[ValidationError]:
    if not holds_at_most(most, instance):
        yield ValidationError(f"must hold at most {most} values")


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
        yield from _each(validator, wanted, list(instance), _no_path)


def _additional_properties(
    validator: Validator, wanted: Any, instance: Any, schema: Schema
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    if isinstance(wanted, dict):
        others = instance
        if known:
            others = {name: value for name, value in instance.items() if name not in known}
        yield from _each(validator, wanted, list(others.values()), partial(_nth, others))
    elif not wanted and any(name not in known for name in instance):
        yield ValidationError("unknown fields")


def _items(
    validator: Validator, wanted: Schema, instance: Any, schema: Schema
) -> Iterator[ValidationError]:
    if isinstance(instance, list):  # one that is too long is refused for that
        members = instance[: schema.get("maxItems")]
        yield from _each(validator, wanted, members, int)


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


def _no_path(_at: int) -> None:
    """Return the path to an object's name: it has none."""


def _nth(members: dict[str, Any], at: int) -> str:
    """Return the name of an object's member."""
    return next(islice(members, at, None))


def _each(
    validator: Any, wanted: Schema, members: list[Any], path_of: Callable[[int], str | int | None]
) -> Iterator[ValidationError]:
    """Explain the first members that are not as *wanted*, and count the others.

    There may be a hundred thousand. Whether any is wrong takes one call; which ones are takes a
    call for each, unless they are of another type.
    """
    if (quick := _quick(json.dumps(wanted))) is None:
        is_valid = validator.evolve(schema=wanted).is_valid
    elif quick.are_valid(members):
        return
    else:
        is_valid = quick.is_valid
    expected = _PYTHON_TYPES.get(wanted.get("type", ""), object)
    counts = Counter(map(type, members))
    others = {kind for kind in counts if not issubclass(kind, expected)}
    mistyped = islice((at for at, one in enumerate(members) if type(one) in others), MAX_ISSUES)
    wrong: list[int] = []
    if len(others) < len(counts):
        wrong = [
            at
            for at, member in enumerate(members)
            if type(member) not in others and not is_valid(member)
        ]
    for at in sorted((*mistyped, *wrong[:MAX_ISSUES])):
        yield from validator.descend(members[at], wanted, path=path_of(at))
    total = sum(counts[kind] for kind in others)
    for structural, count in ((True, total), (False, len(wrong))):
        if count > MAX_ISSUES:
            more = (structural, count - MAX_ISSUES)
            yield ValidationError("", validator=MORE, validator_value=more)


class _Quick(NamedTuple):
    """The fast validators of a piece: for one value, and for an array of them."""

    is_valid: Callable[[Any], bool]
    are_valid: Callable[[list[Any]], bool]


@cache
def _quick(written: str) -> _Quick | None:
    """Return the fast validators of a piece, unless it refers to others."""
    if '"$ref"' in written:
        return None
    schema = json.loads(written)
    return _Quick(compile_fast(schema).is_valid, compile_fast({"items": schema}).is_valid)


_ExplainingValidator: Final[type[Draft202012Validator]] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "x-reserved": _reserved,
        "x-durations-ascend": _durations_ascend,
        "x-max-values": _max_values,
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
