"""What every sink's record says, held against its schema."""

from __future__ import annotations

from dataclasses import fields

import pytest

from sonda.pipeline import sinks
from sonda.pipeline.schemas.registry import PLUGINS
from tests.support.extras import is_usable

NAMES = [name for name in PLUGINS["sink"] if is_usable("sink", name)]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_those_of_the_schema(name: str) -> None:
    """Each property has its field, and what is required has no default."""
    schema = PLUGINS["sink"][name]
    options = sinks.load(name).options
    assert {one.name for one in fields(options)} == schema["properties"].keys() - {"type"}
    required = {one.name for one in fields(options) if one.default is one.default_factory}
    assert required == {*schema.get("required", ())} - {"type"}


@pytest.mark.parametrize("name", NAMES)
def test_options_are_found_by_name(name: str) -> None:
    """`sonda.sinks.HttpPush` is the class of `http_push`."""
    options = sinks.load(name).options
    assert getattr(sinks, options.__name__) is options


def test_what_is_no_sink() -> None:
    """It is no attribute, and those that there are are named."""
    with pytest.raises(AttributeError, match="there are File, HttpPush"):
        sinks.Nonsense  # noqa: B018
