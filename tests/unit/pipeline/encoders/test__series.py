"""What is kept of a series is what its format would write anew, and no more than a bounded amount."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sonda.pipeline.encoders import _series


def test_each_series_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name and its labels; beyond the limit all are forgotten, and a long one is never kept."""
    monkeypatch.setattr(_series, "_MOST", 2)
    rendered: list[str] = []

    def render(name: str, labels: Mapping[str, str]) -> str:
        rendered.append(f"{name}{dict(labels)}")
        return rendered[-1]

    kept = _series.by_series(render)
    long = {"a": "x" * 1000}
    assert kept("m", {"a": "b"}) == kept("m", {"a": "b"}) == "m{'a': 'b'}"
    assert kept("n", {"a": "b"}) == kept("n", {"a": "b"}) == "n{'a': 'b'}"
    assert kept("m", {"a": "c"}) == "m{'a': 'c'}"
    assert len(rendered) == 3
    assert kept("m", {"a": "b"}) == "m{'a': 'b'}"
    assert len(rendered) == 4
    assert kept("m", long) == kept("m", long)
    assert len(rendered) == 6
