"""What a scrape says of a metric beside its value."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.scenarios.metadata import MetricMetadata, metadata_of


@pytest.mark.parametrize(
    ("written", "expected_type"),
    [
        ({"signal_type": "metrics", "name": "up"}, "gauge"),
        ({"signal_type": "metrics", "name": "requests_total"}, "counter"),
        ({"signal_type": "metrics", "name": "total_requests"}, "gauge"),
        ({"signal_type": "metrics", "name": "a_total", "metric_type": "untyped"}, "untyped"),
        ({"signal_type": "histogram", "name": "a_total"}, "histogram"),
        ({"signal_type": "summary", "name": "a"}, "summary"),
    ],
)
def test_the_type(written: dict[str, Any], expected_type: str) -> None:
    """What the entry says counts, then its signal, then its name."""
    assert metadata_of(written, "a-1") == MetricMetadata(
        expected_type, "Values of scenario entry a-1."
    )


@pytest.mark.parametrize(
    ("written", "expected"), [("Requests.", "Requests."), ("", "Values of scenario entry e.")]
)
def test_the_help(written: str, expected: str) -> None:
    """An empty one says nothing."""
    entry = {"signal_type": "metrics", "name": "up", "help": written}
    assert metadata_of(entry, "e").help == expected
