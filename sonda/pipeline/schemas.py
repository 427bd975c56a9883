"""The JSON Schemas: read once, each compiled once, on first use.

They are the only definition of a body's structure. Beside the keywords of draft 2020-12 they use
`format`s of our own (`formats.py`) and these:

- `x-detail`: the whole text of a flaw, `{value}` in it replaced by the value;
  `x-expected`: what a flaw says was expected.
- `x-secret`: the value is never shown; `x-secret-userinfo`: a URL's name and password are not.
- `x-aliases`: other spellings of an enumerated value, and what they stand for.
- `x-reserved`: header names, in any case, that the sink sets itself; a final `*` matches any rest.
- `x-durations-ascend`: two fields, the second not below the first.
- `x-signals`, `x-payload`, `x-payloads`: the events an encoder takes, the kind of bytes it makes, the
  kinds a sink takes.
- `x-signal-option`: the option of a sink that must be the event's signal.
- `x-extra`, `x-requires`: the extra that either needs, and the modules that it installs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource

from sonda.pipeline.durations import seconds
from sonda.pipeline.formats import FORMATS

Schema: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["encoder", "sink"]


def _folder() -> Traversable:
    """Find `schemas/`: inside an installed package, else at the top of the checkout."""
    inside = files("sonda") / "schemas"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "schemas"


def _read(folder: Traversable) -> dict[str, Schema]:
    found = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))
        for entry in found
        if entry.name.endswith(".json")
    }


_ENVELOPE: Final = _read(_folder())
REQUEST: Final = _ENVELOPE["request"]
PLUGINS: Final[Mapping[Kind, Mapping[str, Schema]]] = {
    "encoder": _read(_folder() / "encoders"),
    "sink": _read(_folder() / "sinks"),
}


def _reserved(
    _: Validator, names: list[str], name: str, _schema: Schema
) -> Iterator[ValidationError]:
    for owned in names:
        wanted = owned.lower()
        if name.lower() == wanted or (wanted[-1] == "*" and name.lower().startswith(wanted[:-1])):
            yield ValidationError("is set by the sink itself")


def _durations_ascend(
    _: Validator, fields: list[str], instance: object, _schema: Schema
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    try:
        lower, upper = (seconds(instance[field]) for field in fields)
    except (KeyError, TypeError, ValueError):
        return  # missing or no duration: other keywords say so
    if upper < lower:
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
    (schema["$id"], Resource.from_contents(schema))
    for schema in (*_ENVELOPE.values(), *PLUGINS["encoder"].values(), *PLUGINS["sink"].values())
)


@cache
def validator(kind: Kind | None = None, name: str = "") -> Validator:
    """Compile the schema of one encoder or sink, or of the envelope; checked by a test, not here."""
    schema = PLUGINS[kind][name] if kind else REQUEST
    return _Dialect(schema, registry=REGISTRY, format_checker=_FORMAT_CHECKER)
