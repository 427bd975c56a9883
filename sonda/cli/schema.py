"""The JSON schemas as one document each, for an editor or a form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import click

from sonda.cli import params
from sonda.pipeline.schemas.registry import (
    GENERATORS,
    PLUGINS,
    REQUEST,
    SCENARIO,
    GeneratorKind,
    Kind,
    schemas_of,
)

_COMMON: Final = "https://sonda.invalid/schemas/common.json"
_KINDS: Final[tuple[Kind, ...]] = ("encoder", "sink")
_OF_A_FILE: Final = ("$id", "$schema")


@click.command()
@click.argument("kind", required=False, type=click.Choice(params.SCHEMA_KINDS), is_eager=True)
@click.argument("name", required=False, type=params.PluginName())
def schema(kind: params.SchemaKind | None, name: str | None) -> None:
    """Print the JSON Schema of an event, of a scenario, or of one encoder, sink or generator."""
    if kind is None:
        document = event_schema()
    elif kind == "scenario":
        document = scenario_schema()
    elif name is None:
        raise click.UsageError(f"which {kind}? One of: {', '.join(schemas_of(kind))}")
    else:
        document = plugin_schema(kind, name)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def plugin_schema(kind: Kind | GeneratorKind, name: str) -> dict[str, Any]:
    """Return the schema of one encoder or sink, with all that it refers to."""
    return _with_shared(_local(schemas_of(kind)[name]))


def event_schema() -> dict[str, Any]:
    """Return the schema of a whole event, each encoder's and each sink's options included."""
    event = _local(REQUEST)
    for kind in _KINDS:
        for name, plugin in PLUGINS[kind].items():
            inner = {field: value for field, value in plugin.items() if field not in _OF_A_FILE}
            event["$defs"][f"{kind}.{name}"] = _local(inner)
        event["properties"][kind]["oneOf"] = [
            {"$ref": f"#/$defs/{kind}.{name}"} for name in PLUGINS[kind]
        ]
    return _with_shared(event)


def scenario_schema() -> dict[str, Any]:
    """Return the schema of a scenario, with the parameters of each generator, encoder and sink."""
    scenario = _local(SCENARIO)
    kinds: tuple[Kind | GeneratorKind, ...] = (*PLUGINS, *GENERATORS)
    choices: dict[str, Mapping[str, Any]] = {kind: schemas_of(kind) for kind in kinds}
    for kind, schemas in choices.items():
        for name, one in schemas.items():
            inner = {field: value for field, value in one.items() if field not in _OF_A_FILE}
            scenario["$defs"][f"{kind}.{name}"] = _lifted(_local(inner), scenario["$defs"])
    for part in ("entry", "defaults"):
        properties = scenario["$defs"][part]["properties"]
        properties["labels"] = _local(REQUEST["properties"]["labels"])
        for kind, schemas in choices.items():
            if kind in properties:
                written = properties[kind] if "$ref" not in properties[kind] else {}
                options = [{"$ref": f"#/$defs/{kind}.{name}"} for name in schemas]
                shared = written or _local(REQUEST["properties"][kind])
                properties[kind] = {**shared, "oneOf": options}
    return _with_shared(scenario)


def _lifted(document: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Move a schema's own definitions up to those of the document."""
    known.update(document.pop("$defs", {}))
    return document


def _local(value: Any) -> Any:
    """Copy a schema so that what it takes from `common.json` is in the same document."""
    if isinstance(value, Mapping):
        return {
            name: "#" + inner.partition("#")[2] if name == "$ref" else _local(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_local(inner) for inner in value]
    return value


def _with_shared(document: dict[str, Any]) -> dict[str, Any]:
    """Add what the schema refers to and does not have, and what that refers to in turn."""
    from sonda.pipeline.schemas.validators import REGISTRY  # jsonschema costs 30 ms to import

    own: dict[str, Any] = document.setdefault("$defs", {})
    shared = REGISTRY.contents(_COMMON)["$defs"]
    wanted = list(_references(document))
    while wanted:
        name = wanted.pop()
        if name not in own:
            own[name] = _local(shared[name])
            wanted += _references(own[name])
    if not own:
        del document["$defs"]
    return document


def _references(value: Any) -> Iterator[str]:
    """Find the names of the definitions that a schema refers to."""
    inside: Iterable[Any] = ()
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].split("/")[2]
        inside = value.values()
    elif isinstance(value, list):
        inside = value
    for inner in inside:
        yield from _references(inner)
