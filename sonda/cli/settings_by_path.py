"""`--set sink.timeout=2s`: any option of an encoder or a sink, typed as its schema says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, TypeAlias

import click

from sonda.pipeline.schemas.registry import PLUGINS, Kind

Schema: TypeAlias = Mapping[str, Any]

_KINDS: Final[tuple[Kind, ...]] = ("encoder", "sink")
_BOOLEANS: Final = {"true": True, "false": False}


def apply(options: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Copy *options*, `encoder` and `sink`, with each `PATH=VALUE` in it; raises click's `UsageError`."""
    changed = {kind: deepcopy(given) for kind, given in options.items()}  # TOML has dates, too
    seen: set[str] = set()
    for setting in settings:
        path, equals, text = setting.partition("=")
        kind, dot, rest = path.partition(".")
        if not equals or not dot or kind not in _KINDS or not rest:
            raise _bad(f"{path!r}: expected encoder.OPTION=VALUE or sink.OPTION=VALUE")
        if path in seen:
            raise _bad(f"{path}: given twice")
        seen.add(path)
        name = changed[kind].get("type")
        if not isinstance(name, str) or name not in PLUGINS[kind]:
            continue  # validation will name it, and what there is
        _put(changed[kind], path, rest, text, PLUGINS[kind][name])
    return changed


def _put(options: dict[str, Any], path: str, rest: str, text: str, schema: Schema) -> None:
    """Walk down the schema along *path*, and put the value where it ends."""
    from sonda.pipeline.schemas.validators import REGISTRY  # jsonschema costs 30 ms to import

    resolver = REGISTRY.resolver(schema["$id"])
    while True:
        name, _, deeper = rest.partition(".")
        properties = schema.get("properties", {})
        if name not in properties and isinstance(schema.get("additionalProperties"), Mapping):
            name, deeper = rest, ""  # the name of a header may have dots
            schema = schema["additionalProperties"]
        elif name in properties and name != "type":
            schema = properties[name]
        else:
            known = ", ".join(known for known in properties if known != "type") or "none"
            raise _bad(f"{path}: there is no option {name!r}; options: {known}")
        while "$ref" in schema:
            found = resolver.lookup(schema["$ref"])
            schema, resolver = {**found.contents, **_without_ref(schema)}, found.resolver
        if not deeper:
            options[name] = _typed(path, text, schema)
            return
        rest = deeper
        inner: Any = options.setdefault(name, {})
        if schema.get("type") != "object" or not isinstance(inner, dict):
            raise _bad(f"{path}: {name!r} has no options of its own")
        options = inner


def _without_ref(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "$ref"}


def _typed(path: str, text: str, schema: Schema) -> Any:
    """Read a value as the schema wants it; never quotes it, it may be a secret."""
    match schema.get("type"):
        case "boolean":
            if text not in _BOOLEANS:
                raise _bad(f"{path}: expected true or false")
            return _BOOLEANS[text]
        case "integer":
            return _number(path, text, "an integer")
        case "number":
            return _number(path, text, "a number")
        case "object" | "array" as kind:
            return _json(path, text, f"JSON: an {kind}")
        case _:
            return text


def _number(path: str, text: str, wanted: str) -> int | float:
    value = _json(path, text, wanted)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_double(value):
        raise _bad(f"{path}: expected {wanted}")
    return value


def _is_double(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _json(path: str, text: str, wanted: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _bad(f"{path}: expected {wanted}") from None


def _bad(reason: str) -> click.UsageError:
    return click.BadParameter(reason, param_hint="'--set'")
