"""What an entry may not be at its start, nor become while it runs."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sonda.pipeline.scenarios.entry_limits import ends_too_late, stamps_too_close, values_in_range
from sonda.pipeline.scenarios.generators import Shape
from sonda.pipeline.scenarios.plan import Entry
from tests.support.extras import needs
from tests.unit.pipeline.scenarios.support import compiled, metric

REMOTE = {
    "encoder": {"type": "remote_write"},
    "sink": {"type": "remote_write", "url": "http://h/api/v1/write"},
}


def entry(**changes: Any) -> Entry:
    return compiled(metric(**changes)).unwrap().entries[0]


@pytest.mark.parametrize(
    ("changes", "is_too_late"),
    [
        ({}, False),  # without an end there is no last stamp
        ({"count": 2, "start_time": "2262-04-11T23:47:15Z"}, False),
        ({"count": 1, "start_time": "2262-04-11T23:47:16Z"}, False),
    ],
)
def test_the_last_stamp(changes: dict[str, Any], is_too_late: bool) -> None:
    """Nanoseconds of 64 bits end in 2262."""
    assert (ends_too_late(entry(**changes)) is not None) is is_too_late


def test_a_plan_that_would_end_too_late() -> None:
    """The compiler refuses it with the same words."""
    failed = compiled(metric(count=10, start_time="2262-04-11T23:47:15Z"))
    assert "the last event would be after 2262-04-11T23:47:16Z" in str(failed.failure())


@needs("sink", "remote_write")
@pytest.mark.parametrize(
    ("changes", "is_too_close"),
    [
        ({"rate": 5000, "encoder": {"type": "json_lines"}}, False),
        ({"rate": 5000, "encoder": {"type": "prometheus_text", "timestamp": False}}, False),
        ({"rate": 1000, **REMOTE}, False),
        ({"rate": 5000, "dynamic_labels": [{"key": "pod", "cardinality": 5}], **REMOTE}, False),
    ],
)
def test_stamps(changes: dict[str, Any], is_too_close: bool) -> None:
    """Where a sample is its milliseconds, one series has at most a thousand a second."""
    assert (stamps_too_close(entry(**changes)) is not None) is is_too_close


@needs("sink", "remote_write")
@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"rate": 1001}, "1001 samples a second of one series"),
        ({"rate": 600, "bursts": {"every": "10s", "for": "1s", "multiplier": 2}}, "1200 samples"),
        ({"rate": 3003, "dynamic_labels": [{"key": "pod", "cardinality": 3}]}, "1001 samples"),
    ],
)
def test_stamps_that_would_be_equal(changes: dict[str, Any], detail: str) -> None:
    """The highest rate counts, and how many series take turns."""
    assert detail in str(compiled(metric(**changes, **REMOTE)).failure())


LARGEST = Fraction(2**1024 - 2**970)


@pytest.mark.parametrize(
    ("most", "noise", "is_in_range"),
    [
        (LARGEST, Fraction(0), True),
        (LARGEST, Fraction(1), False),
        (LARGEST - 1, Fraction(1), True),
        (LARGEST + 1, Fraction(0), False),
    ],
)
def test_values(most: Fraction, noise: Fraction, is_in_range: bool) -> None:
    """A double holds every value, with its noise and of either sign."""
    shape = cast("Shape", SimpleNamespace(bounds=lambda _: (-most, Fraction(0))))
    assert values_in_range(shape, noise, 10) is is_in_range
