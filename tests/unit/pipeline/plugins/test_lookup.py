"""Plug-ins are found by their names, in the schemas and among other packages'."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.plugins.lookup import (
    explaining_options,
    external_plugin,
    facts_of,
    fast_options,
    load,
    names_of,
)


def test_a_built_in_plug_in() -> None:
    """Its facts are its schema, and its module is loaded when it is asked for."""
    facts = facts_of("sink", "stdout")
    assert facts is not None
    assert facts["properties"]["type"] == {"const": "stdout"}
    assert load("sink", "stdout") is load("sink", "stdout")
    assert {"stdout", "loki"} <= {*names_of("sink")}
    assert "json_lines" in names_of("encoder")


@pytest.mark.parametrize("name", ["nosuch", "", "x" * 1_000_000, "STDOUT", "json_lines"])
def test_a_name_that_no_sink_has(name: str) -> None:
    """However long it is; an encoder's name is no sink's."""
    assert facts_of("sink", name) is None
    assert external_plugin("sink", name) is None


def test_options_have_a_fast_and_an_explaining_validator() -> None:
    """Both say the same, and each is made once."""
    written: list[tuple[Any, bool]] = [
        ({"type": "stdout"}, True),
        ({"type": "stdout", "a": 1}, False),
    ]
    for options, is_valid in written:
        assert fast_options("sink", "stdout").is_valid(options) is is_valid
        assert (not list(explaining_options("sink", "stdout").iter_errors(options))) is is_valid
    assert fast_options("sink", "stdout") is fast_options("sink", "stdout")
