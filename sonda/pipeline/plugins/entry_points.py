"""Encoders and sinks of other packages, found by the entry points `sonda.encoders` and `sonda.sinks`.

An entry point's name is the plug-in's wire name, and it names an object with `SCHEMA`, a JSON
Schema as those in `schemas/`, and `ENCODER` or `SINK`. To read the entry points of an installation
takes 40 ms, so that is done for a type that is not built in, once. A plug-in that cannot be used
fails its own type alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from sonda.pipeline.schemas.registry import PLUGINS, Kind, Schema
from sonda.pipeline.text.escape import cut, escape

_LOG: Final = logging.getLogger("sonda")
_FACTS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "encoder": ("x-signals", "x-payload"),
    "sink": ("x-payloads",),
}
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Plugin:
    """An encoder or a sink of another package: its schema, and its `Encoder` or `Sink`."""

    schema: Schema
    made: Any


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plug-in that is installed and cannot be used, and why."""

    reason: str


@cache
def names(kind: Kind) -> Mapping[str, EntryPoint]:
    """Return the entry points of other packages by name; a built-in plug-in's name is its own."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"sonda.{kind}s"):
        if point.name in PLUGINS[kind]:
            _LOG.warning(
                "the %s %r of %s is left out: Sonda has its own", kind, point.name, point.value
            )
        else:
            found.setdefault(point.name, point)
    return found


@cache
def find(kind: Kind, name: str) -> Plugin | BrokenPlugin | None:
    """Return the plug-in *name* of another package; `None` if no package has it."""
    point = names(kind).get(name)
    if point is None:
        return None
    try:
        plugin = _load(kind, name, point.load())
    except Exception as exc:  # noqa: BLE001  # whatever is wrong with it is wrong with it alone
        reason = escape(cut(f"{type(exc).__name__}: {exc}", _LONGEST_REASON))
        _LOG.warning("the %s %r of %s cannot be used: %s", kind, name, point.value, reason)
        return BrokenPlugin(reason)
    return plugin


def _load(kind: Kind, name: str, exported: Any) -> Plugin:
    from jsonschema import Draft202012Validator

    schema, made = exported.SCHEMA, getattr(exported, kind.upper())
    Draft202012Validator.check_schema(schema)
    if schema.get("properties", {}).get("type") != {"const": name}:
        raise ValueError(f"its schema's type must be {{'const': {name!r}}}")
    for fact in _FACTS[kind]:
        if fact not in schema:
            raise ValueError(f"its schema lacks {fact}")
    _ = made.options
    return Plugin({"$id": f"https://sonda.invalid/schemas/{kind}s/{name}.json", **schema}, made)
