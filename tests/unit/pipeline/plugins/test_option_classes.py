"""Options classes are found by the name of their plug-in."""

from __future__ import annotations

import pytest

from sonda.pipeline.plugins.option_classes import options_class
from sonda.pipeline.sinks.http_push import HttpPush
from sonda.pipeline.sinks.stdout import Stdout

SINKS = "sonda.pipeline.sinks"


def test_a_class_is_in_the_module_of_its_wire_name() -> None:
    """`HttpPush` is in `http_push`."""
    assert options_class(SINKS, "HttpPush") is HttpPush
    assert options_class(SINKS, "Stdout") is Stdout


@pytest.mark.parametrize("name", ["Nosuch", "stdout", "", "_Private"])
def test_what_is_no_class(name: str) -> None:
    """The error is what Python says of any attribute."""
    with pytest.raises(AttributeError, match="has no attribute"):
        options_class(SINKS, name)
