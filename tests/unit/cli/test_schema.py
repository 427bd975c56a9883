"""`sonda schema`: whole documents, which mean what the files under `schemas/` mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from sonda.cli.commands import sonda
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.schemas.validators import validator
from tests.support.bodies import LOG, METRIC, changed
from tests.support.extras import PLUGIN_NAMES


def printed(*words: str) -> dict[str, Any]:
    """Print a schema that needs no other document."""
    result = CliRunner(catch_exceptions=False).invoke(sonda, ["schema", *words])
    assert result.exit_code == 0
    schema: dict[str, Any] = json.loads(result.stdout)
    Draft202012Validator.check_schema(schema)
    return schema


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from references(inner)


@pytest.mark.parametrize("words", [(), *PLUGIN_NAMES], ids="-".join)
def test_a_schema_stands_alone(words: tuple[str, ...]) -> None:
    """Every reference leads to a place in the same document."""
    schema = printed(*words)
    for reference in references(schema):
        assert reference.startswith("#/")
        found: Any = schema
        for step in reference.split("/")[1:]:
            found = found[step]
        assert found


@pytest.mark.parametrize(("kind", "name"), PLUGIN_NAMES)
def test_a_plug_ins_schema_means_the_same(kind: Any, name: str) -> None:
    """It agrees with the schema it was made of, on examples and on what they must not be."""
    schema = Draft202012Validator(printed(kind, name))
    original = validator(kind, name)
    for example in PLUGINS[kind][name]["examples"]:
        variants: list[Any] = [example, {**example, "x": 1}, {**example, "type": "x"}, {}, 1]
        variants += [{**example, field: {"x": 1}} for field in PLUGINS[kind][name]["properties"]]
        for variant in variants:
            expected = original.evolve(format_checker=None).is_valid(variant)
            assert schema.is_valid(variant) == expected, variant


def test_the_schema_of_an_event_has_every_option() -> None:
    """One document knows a whole event, options of encoders and sinks included."""
    schema = Draft202012Validator(printed())
    for event in (LOG, METRIC):
        assert schema.is_valid(event)
        assert not schema.is_valid({**event, "labels": {"a": 1}})
    assert schema.is_valid(changed(LOG, sink={"type": "loki", "url": "http://loki:3100"}))
    assert not schema.is_valid(changed(LOG, sink={"type": "loki", "uri": "http://loki:3100"}))
    assert not schema.is_valid(changed(LOG, encoder={"type": "json_lines", "precision": 18}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sink"], "which sink? One of: file, http_push, kafka, "),
        (["sink", "lokki"], "unknown variant 'lokki', expected one of 'file', "),
        (["encoder", "loki"], "unknown variant 'loki', expected one of 'influx_lp', "),
        (["sinks"], "'sinks' is not one of 'encoder', 'sink'"),
    ],
)
def test_an_unknown_schema(words: list[str], message: str) -> None:
    """The message lists what there is."""
    result = CliRunner(catch_exceptions=False).invoke(sonda, ["schema", *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
