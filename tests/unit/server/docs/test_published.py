"""Schemas for readers: references that lead somewhere, and nothing that generators cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from sonda.pipeline.schemas.registry import GENERATORS, PLUGINS
from sonda.server.docs.published import component_schemas, ref

COMPONENTS: Final = dict(component_schemas())
LITERAL: Final = {"const", "default", "enum", "examples", "description", "mapping"}
PREFIX: Final = "#/components/schemas/"


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema in a component, its data left out."""
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key not in LITERAL:
                yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def test_no_component_stands_twice() -> None:
    """A later one would hide the first."""
    names = [name for name, _ in component_schemas()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_reference_stands_alone_and_leads_somewhere(name: str) -> None:
    """Generators ignore what stands beside one."""
    for schema in objects(COMPONENTS[name]):
        if isinstance(target := schema.get("$ref"), str):
            assert [*schema] == ["$ref"]
            assert target.removeprefix(PREFIX) in COMPONENTS
        mapping = schema.get("discriminator", {}).get("mapping", {})
        assert {target.removeprefix(PREFIX) for target in mapping.values()} <= COMPONENTS.keys()


@pytest.mark.parametrize("name", COMPONENTS)
def test_nothing_is_left_that_is_ours_alone(name: str) -> None:
    """Neither conditions nor keywords that only the validators know."""
    known = {"x-signals", "x-extra", "x-reserved", "x-encoders", "$ref"}
    for schema in objects(COMPONENTS[name]):
        if "type" in schema or "oneOf" in schema:  # no map of properties by name
            assert {key for key in schema if key.startswith(("x-", "$"))} <= known
            assert not {"if", "then", "else", "allOf"} & schema.keys()


def test_every_plugin_is_offered() -> None:
    """An encoder, a sink and a generator have a component each; a sink says what fits it."""
    for kind, plugins in (*PLUGINS.items(), *GENERATORS.items()):
        for name in plugins:
            component = "".join(part.capitalize() for part in (*name.split("_"), *kind.split("_")))
            assert component in COMPONENTS
            if kind == "sink":
                assert COMPONENTS[component]["x-encoders"]


def test_a_named_destination_takes_no_sink() -> None:
    """What it stands for cannot be written beside it."""
    for signal in ("Log", "Metric"):
        inline, named = (COMPONENTS[f"{kind}{signal}Event"] for kind in ("", "Named"))
        assert {"encoder", "sink"} <= set(inline["required"])
        assert "destination" not in inline["properties"]
        assert "destination" in named["required"]
        assert not {"encoder", "sink"} & named["properties"].keys()


def test_a_secret_is_for_writing_only() -> None:
    """So that no form shows it again."""
    assert any(schema.get("writeOnly") for one in COMPONENTS.values() for schema in objects(one))


def test_a_reference_names_its_section() -> None:
    """Responses have one of their own."""
    assert ref("X") == {"$ref": "#/components/schemas/X"}
    assert ref("X", "responses") == {"$ref": "#/components/responses/X"}
