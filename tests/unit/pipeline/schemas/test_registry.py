"""The schemas are sound, and say the same as the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sonda.pipeline import encoders, sinks
from sonda.pipeline.schemas.issues import find_issues
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST, compile_fast, holds_at_most
from sonda.pipeline.schemas.validators import REGISTRY, compile_explaining, validator
from tests.support.extras import PLUGIN_NAMES, is_usable

TESTS = Path(__file__).parents[3]
PACKAGES = {"encoder": encoders, "sink": sinks}
USABLE = [pair for pair in PLUGIN_NAMES if is_usable(*pair)]


def all_schemas() -> Iterator[Any]:
    yield pytest.param(REQUEST, id="request")
    for kind, name in PLUGIN_NAMES:
        yield pytest.param(PLUGINS[kind][name], id=f"{kind}-{name}")


def resolved(schema: Mapping[str, Any], resolver: Any) -> tuple[Mapping[str, Any], Any]:
    """Follow a `$ref`, keywords beside it winning; gives the resolver of what was found, too."""
    if "$ref" not in schema:
        return schema, resolver
    found = resolver.lookup(schema["$ref"])
    whole, inner_resolver = resolved(found.contents, found.resolver)
    return {**whole, **schema}, inner_resolver


def properties(schema: Mapping[str, Any], resolver: Any) -> dict[str, tuple[Any, Any]]:
    """The fields of an object that a user fills in, each with its resolver."""
    found = {
        name: resolved(inner, resolver) for name, inner in schema.get("properties", {}).items()
    }
    return {name: pair for name, pair in found.items() if "const" not in pair[0]}


def resolver_of(schema: Mapping[str, Any]) -> Any:
    return REGISTRY.resolver(schema["$id"])


def named(schema: Mapping[str, Any], resolver: Any) -> Iterator[tuple[str, Any]]:
    """Every property of a schema, those of nested objects included."""
    for name, (inner, inner_resolver) in properties(schema, resolver).items():
        yield name, inner
        yield from named(inner, inner_resolver)


@pytest.mark.parametrize("schema", list(all_schemas()))
def test_schemas_are_valid(schema: Mapping[str, Any]) -> None:
    """Each file is a JSON Schema of draft 2020-12."""
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("schema", list(all_schemas()))
def test_schemas_speak_to_people(schema: Mapping[str, Any]) -> None:
    """Forms are made of them: each field has a title, a description and an example."""
    assert schema["title"]
    assert schema["description"]
    for name, field in named(schema, resolver_of(schema)):
        lacking = {"title", "description"} - field.keys()
        assert not lacking, f"{name} lacks {lacking}"
        if not field.get("x-secret") and field.get("type") != "object":
            assert field["examples"], f"{name} has no example"


@pytest.mark.parametrize(("kind", "name"), PLUGIN_NAMES)
def test_examples_are_valid(kind: Any, name: str) -> None:
    """Each example is what its own schema allows."""
    for example in PLUGINS[kind][name]["examples"]:
        assert find_issues(validator(kind, name), example, kind) == []


def test_plugin_names_are_the_folders() -> None:
    """Each built-in plug-in has its module and its schema, and no module lacks a schema."""
    for kind, package in PACKAGES.items():
        modules = {found.name for found in iter_modules(package.__path__) if found.name[0] != "_"}
        schemas = PLUGINS[kind]  # type: ignore[index]
        assert modules - {"options"} <= schemas.keys()
        assert {name for name in schemas if "x-extra" not in schemas[name]} <= modules


def test_encoders_have_snapshots() -> None:
    """The bytes of each encoder have been reviewed by a person."""
    taken = {file.name for file in (TESTS / "snapshots").rglob("*") if file.is_file()}
    for kind, name in USABLE:
        if kind == "encoder":
            assert any(name in file for file in taken), f"{name} has no snapshot"


@pytest.mark.parametrize(("kind", "name"), USABLE)
def test_options_are_the_schemas(kind: str, name: str) -> None:
    """A plug-in's options class has the schema's fields, with its defaults."""
    schema = PLUGINS[kind][name]  # type: ignore[index]
    options = PACKAGES[kind].load(name).options
    described = properties(schema, resolver_of(schema))
    assert {field.name for field in fields(options)} == described.keys()
    for field in fields(options):
        required = field.default is MISSING and field.default_factory is MISSING
        assert required == (field.name in schema["required"])
        default = described[field.name][0].get("default")
        if default is not None:
            assert field.default == default, field.name


def test_public_namespaces_name_every_plugin() -> None:
    """`sonda.sinks.Loki` is known to type checkers, and so is each of its like."""
    for kind, name in USABLE:
        options = PACKAGES[kind].load(name).options
        source = Path(str(PACKAGES[kind].__file__)).read_text(encoding="utf-8")
        assert f"import {options.__name__} as {options.__name__}" in source
        assert getattr(PACKAGES[kind], options.__name__) is options


@pytest.mark.parametrize(
    ("value", "holds"),
    [(1, 0), ([], 0), ([1], 1), ({"a": 1}, 1), ([[], {"a": [1]}], 4), ({"a": [{}], "b": "[]"}, 3)],
)
def test_values_are_counted_at_any_depth(value: Any, holds: int) -> None:
    """`x-max-values` counts them alike in both engines."""
    for most in range(6):
        schema = {"x-max-values": most}
        assert holds_at_most(most, value) == (holds <= most)
        assert compile_fast(schema).is_valid(value) == (holds <= most)
        assert compile_explaining(schema).is_valid(value) == (holds <= most)
