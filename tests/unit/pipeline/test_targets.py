"""How a target is shown, and which options lead to the same place."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sonda.pipeline.targets import destination_of, target_of


@pytest.mark.parametrize(
    ("sink", "options", "target", "destination"),
    [
        ("stdout", {}, "stdout", "stdout"),
        ("file", {"path": "a/b.log"}, "a/b.log", "a/b.log"),
        ("tcp", {"address": "a:514"}, "a:514", "a:514"),
        ("loki", {"url": "http://A/loki"}, "http://A/loki", "a:80"),
        ("loki", {"url": "https://a"}, "https://a", "a:443"),
        ("loki", {"url": "http://me:pw@a:3100/x"}, "http://***@a:3100/x", "a:3100"),
    ],
)
def test_a_target(sink: str, options: dict[str, str], target: str, destination: str) -> None:
    """As it was written but for a login; the destination is a host and a port, or what is named."""
    given = SimpleNamespace(**options)
    assert target_of(sink, given) == target
    assert destination_of(sink, given) == destination
