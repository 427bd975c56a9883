"""A generator's parameters, read by its schema: defaults filled in, numbers and durations exact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sonda.pipeline.scenarios.numbers import fraction, seconds
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.structure import Issues
from sonda.pipeline.schemas.registry import GENERATORS, GeneratorKind, Schema

_DURATION: Final = "../common.json#/$defs/duration"


def read_parameters(
    kind: GeneratorKind, written: Mapping[str, Any], path: Path, issues: Issues
) -> dict[str, Any] | None:
    """Return the parameters of a generator that its schema allows; `None` where one cannot be read."""
    properties = GENERATORS[kind][written["type"]]["properties"]
    found: dict[str, Any] = {}
    for name, schema in properties.items():
        if name == "type" or (name not in written and "default" not in schema):
            continue
        try:
            found[name] = _read(written.get(name, schema.get("default")), schema)
        except ValueError as exc:
            issues.value((*path, name), str(exc))
            return None
    return found


def _read(value: Any, schema: Schema) -> Any:
    if schema.get("$ref") == _DURATION:
        return seconds(value)
    match schema.get("type"):
        case "number":
            return fraction(value)
        case "integer":
            return int(value)
        case "array" if schema["items"].get("type") == "number":
            return [fraction(one) for one in value]
        case "object":
            return {name: fraction(one) for name, one in value.items()}
        case _:
            return value
