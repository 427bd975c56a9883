"""The rate of late is that of whole tenths of a second."""

from __future__ import annotations

import pytest

from sonda.pipeline.scenarios.rate_meter import RateMeter


def test_a_steady_rate() -> None:
    """Over any span that it covers."""
    meter = RateMeter()
    for tenth in range(100):
        meter.add(1000 + tenth / 10 + 0.01, 5)
    for span_s in (1, 5, 10):
        assert meter.rate(1009.95, span_s) == 50


def test_it_forgets() -> None:
    """What is older than the span does not count, nor what is older than ten seconds."""
    meter = RateMeter()
    meter.add(1000.05, 70)
    assert meter.rate(1000.06, 1) == 70
    assert meter.rate(1001.15, 1) == 0
    assert meter.rate(1005.0, 10) == 7
    for tenth in range(200):
        meter.add(1001 + tenth / 10 + 0.01, 1)
    assert meter.rate(1020.95, 10) == pytest.approx(10)
    assert len(meter._slots) == 101
