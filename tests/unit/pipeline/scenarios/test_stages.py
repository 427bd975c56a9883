"""Stages: the counts of k6's arrival rates, ramps by hand, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import pytest

from tests.unit.pipeline.scenarios.support import compiled, metric


def _staged(*stages: dict[str, Any], **changes: Any) -> Any:
    return compiled(metric(rate=None, stages=list(stages), **changes)).unwrap().entries[0]


def _k6(stages: list[tuple[float, float]], begin: float) -> int:
    """Return how many iterations k6's ramping-arrival-rate starts: the area under its rates."""
    area, rate = 0.0, begin
    for target, duration in stages:
        area += (rate + target) / 2 * duration
        rate = target
    return round(area)


@pytest.mark.parametrize(
    "stages",
    [
        [(50, 10), (50, 60), (0, 10)],
        [(200, 30), (600, 30), (600, 120), (60, 60)],
        [(10, 1)],
        [(100, 4), (0, 4), (100, 4)],
    ],
)
def test_ramps_have_the_counts_of_k6(stages: list[tuple[float, float]]) -> None:
    """A ramp from 0, others between rates: as many events as the area."""
    written = [{"rate": rate, "for": f"{length}s", "ramp": True} for rate, length in stages]
    assert _staged(*written).planned == _k6(stages, 0)


def test_constant_stages_have_the_counts_of_k6() -> None:
    """k6's constant-arrival-rate: rate times duration, stage after stage."""
    entry = _staged({"rate": 30, "for": "30s"}, {"rate": 7, "for": "1m"}, {"rate": 0, "for": "5s"})
    assert entry.planned == 30 * 30 + 7 * 60
    assert entry.ends_at == 95


def test_a_ramp_is_its_root_rounded_up() -> None:
    """From 0 to 10 in 10 s tick k is due at √(2k)."""
    due = _staged({"rate": 10, "for": "10s", "ramp": True}).schedule.due
    assert [due(tick) for tick in (0, 2, 8, 32)] == [0, 2, 4, 8]
    for tick in (1, 3, 49):
        assert due(tick).denominator <= 10**9
        assert float(due(tick)) == pytest.approx(sqrt(2 * tick), abs=1.1e-9)
        square = due(tick) ** 2
        assert square >= 2 * tick > (due(tick) - Fraction(1, 10**9)) ** 2


def test_a_pause_has_no_tick() -> None:
    """What would be due when the rate is 0 is due once it is not."""
    entry = _staged({"rate": 2, "for": "1s"}, {"rate": 0, "for": "5s"}, {"rate": 1, "for": "2s"})
    assert [entry.schedule.due(tick) for tick in range(4)] == [0, Fraction(1, 2), 6, 7]
    assert [float(entry.schedule.target_rate(Fraction(t))) for t in (0, 3, 6, 8)] == [2, 0, 1, 0]


def test_a_count_ends_before_the_stages_do() -> None:
    """The earlier end counts."""
    assert _staged({"rate": 5, "for": "1m"}, count=7).planned == 7
    assert _staged({"rate": 5, "for": "1s"}, count=7).planned == 5


def test_stages_win_over_the_rate_of_defaults() -> None:
    """They stand in place of `rate` and `duration`."""
    entry = metric(rate=None, stages=[{"rate": 1, "for": "3s"}])
    document = {"defaults": {"rate": 9, "duration": "1h"}, "scenarios": [entry]}
    assert compiled(document).unwrap().planned == 3


def test_x_is_the_rounded_time() -> None:
    """A sawtooth over a ramp follows the time that is in the stamp."""
    saw = {"type": "sawtooth", "min": 0, "max": 1, "period_secs": 1}
    entry = _staged({"rate": 10, "for": "10s", "ramp": True}, generator=saw, series=2)
    assert entry.values(range(12)) == [float(entry.schedule.due(tick) % 1) for tick in range(12)]
    assert entry.planned == 100


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"stages": []}, "stages"),
        ({"stages": [{"rate": 1}]}, "stages[0]: missing field 'for'"),
        ({"stages": [{"rate": -1, "for": "1s"}]}, "stages[0].rate: invalid value -1"),
        ({"stages": [{"rate": 1, "for": "soon"}]}, "stages[0].for"),
        ({"stages": [{"rate": 10**7, "for": "1s"}]}, "stages[0].rate: must be at most 1,000,000"),
        ({"stages": [{"rate": 0, "for": "1s"}]}, "stages: have no event"),
        ({"stages": [{"rate": 1, "for": "1s", "up": 1}]}, "stages[0]: unknown field 'up'"),
        ({"rate": 1}, "unknown field 'rate': stages stand in its place"),
        ({"duration": "1s"}, "unknown field 'duration': stages stand in its place"),
        ({"gaps": {"every": "2s", "for": "1s"}}, "gaps: does not go with stages"),
    ],
)
def test_refusals(changes: dict[str, Any], text: str) -> None:
    """Each says where and why."""
    entry = metric(rate=None, stages=[{"rate": 1, "for": "1s"}])
    assert text in str(compiled({**entry, **changes}).failure())
