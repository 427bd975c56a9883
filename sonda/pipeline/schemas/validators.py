"""The schemas as jsonschema reads them, with our own keywords: slow, but it has words for what is wrong.

A body that is fine never comes here, so this and all that it imports are loaded for the first one
that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource

from sonda.pipeline.schemas.formats import FORMATS
from sonda.pipeline.schemas.registry import (
    BY_ID,
    PLUGINS,
    REQUEST,
    Kind,
    Schema,
    ascend,
    is_reserved,
)


def _reserved(
    _: Validator, owned: list[str], name: str, _schema: Schema
) -> Iterator[ValidationError]:
    if is_reserved(owned, name):
        yield ValidationError("is set by the sink itself")


def _durations_ascend(
    _: Validator, fields: list[str], instance: object, _schema: Schema
) -> Iterator[ValidationError]:
    if not ascend(fields, instance):
        yield ValidationError(f"must be at least {fields[0]}", path=(fields[1],))


_Dialect: Final[type[Draft202012Validator]] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"x-reserved": _reserved, "x-durations-ascend": _durations_ascend}
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
    """Compile the schema of one encoder or sink, or of the envelope; checked by a test, not here."""
    return compile_explaining(PLUGINS[kind][name] if kind else REQUEST)


def compile_explaining(schema: Schema) -> Validator:
    """Compile one of our schemas for the words about what is wrong."""
    return _Dialect(schema, registry=REGISTRY, format_checker=_FORMAT_CHECKER)
