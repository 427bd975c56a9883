"""The JSON Schemas: read once, each compiled once, on first use.

They are the only definition of a body's structure. Each is compiled twice: `fast_validator` only says
yes or no, in a microsecond, and `dialect.validator`, a hundred times slower, has the words for what
is wrong. A property test holds the two together. Beside the keywords of draft 2020-12 they use
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
- `x-target`: the option that says where a sink's events go.
- `x-resend`: `safe` where the destination keeps only one of two equal events.
- `x-extra`, `x-requires`: the extra that either needs, and the modules that it installs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs

from sonda.pipeline.schemas.formats import FORMATS
from sonda.pipeline.values.durations import seconds

Schema: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["encoder", "sink"]
GeneratorKind: TypeAlias = Literal["generator", "log_generator"]


def _folder() -> Traversable:
    """Find `schemas/`: inside an installed package, else at the top of the checkout."""
    inside = files("sonda") / "schemas"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "schemas"


def _read(folder: Traversable) -> dict[str, Schema]:
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
ENTRY: Final[Schema] = {
    "$id": "https://sonda.invalid/schemas/scenario/entry",
    "$ref": f"{SCENARIO['$id']}#/$defs/entry",
}
GENERATORS: Final[Mapping[GeneratorKind, Mapping[str, Schema]]] = {
    "generator": _read(_folder() / "generators"),
    "log_generator": _read(_folder() / "log_generators"),
}
PLUGINS: Final[Mapping[Kind, Mapping[str, Schema]]] = {
    "encoder": _read(_folder() / "encoders"),
    "sink": _read(_folder() / "sinks"),
}

BY_ID: Final[Mapping[str, Schema]] = {
    schema["$id"]: schema
    for schemas in (_ENVELOPE, *PLUGINS.values(), *GENERATORS.values())
    for schema in schemas.values()
}


def is_reserved(owned: list[str], name: str) -> bool:
    """Tell whether *name* is one of those *owned*, in any case; a final `*` matches any rest."""
    name = name.lower()
    return any(
        name.startswith(wanted[:-1]) if wanted[-1] == "*" else name == wanted
        for wanted in map(str.lower, owned)
    )


def ascend(fields: list[str], instance: object) -> bool:
    """Tell whether the second of two durations is not below the first."""
    if not isinstance(instance, dict):
        return True
    try:
        lower, upper = (seconds(instance[field]) for field in fields)
    except (KeyError, TypeError, ValueError):
        return True  # missing or no duration: other keywords say so
    return upper >= lower


class _Keyword:
    """One of our keywords for the fast validator: *_holds* gets the keyword's value first."""

    _holds: Callable[[Any, Any], bool]

    def __init__(self, _schema: Schema, value: Any, _path: list[str | int]) -> None:
        self._value = value

    def validate(self, instance: Any) -> None:
        if not self._holds(self._value, instance):
            raise ValueError


class _Reserved(_Keyword):
    _holds = staticmethod(lambda owned, name: not is_reserved(owned, name))


class _DurationsAscend(_Keyword):
    _holds = staticmethod(ascend)


def _answers(check: Callable[[str], object]) -> Callable[[str], bool]:
    def conforms(text: str) -> bool:
        try:
            check(text)
        except ValueError:
            return False
        return True

    return conforms


@cache
def _fast_registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(uri, dict(schema)) for uri, schema in BY_ID.items()])


@cache
def fast_validator(kind: Kind | None = None, name: str = "") -> jsonschema_rs.Validator:
    """Compile the schema of one encoder or sink, or of the envelope, for a quick yes or no."""
    return compile_fast(PLUGINS[kind][name] if kind else REQUEST)


def compile_fast(schema: Schema) -> jsonschema_rs.Validator:
    """Compile one of our schemas for a quick yes or no."""
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        registry=_fast_registry(),
        formats={name: _answers(check) for name, check in FORMATS.items()},
        validate_formats=True,
        keywords={"x-reserved": _Reserved, "x-durations-ascend": _DurationsAscend},
    )
