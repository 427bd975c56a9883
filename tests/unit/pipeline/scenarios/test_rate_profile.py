"""A tick of a rate with gaps and bursts that share no cycle is found by few sums."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sonda.pipeline.scenarios.rate_profile import Cycle, Profile
from sonda.pipeline.scenarios.schedule import Schedule

MOST_SUMS = 8


def _schedule(
    rate: str, gaps: tuple[str, str], bursts: tuple[str, str], multiplier: str
) -> Schedule:
    cycles = [Cycle(*map(Fraction, one)) for one in (gaps, bursts)]
    return Schedule(Fraction(rate), cycles[0], cycles[1], Fraction(multiplier))


@pytest.mark.parametrize(
    "schedule",
    [
        _schedule("1000", ("7.919", "1.3"), ("6.007", "0.5"), "2.7"),
        _schedule("999.983", ("3600.007", "3599.1"), ("0.011", "0.003"), "1000"),
        _schedule("999.983", ("3600.007", "3600.0065"), ("0.011", "0.003"), "1000"),
        _schedule("0.3", ("0.0101", "0.01009"), ("9973.7", "9000.1"), "0.001"),
        _schedule("0.3", ("0.0101", "0.00009"), ("9973.7", "0.1"), "100000"),
        _schedule("1000", ("1.618034", "1"), ("1", "0.4"), "100"),
        _schedule("1000", ("7.000000001", "1.3"), ("13.000000003", "2.7"), "2.5"),
        _schedule("3.3", ("1.13490317", "0.3"), ("0.701408733", "0.2"), "3"),
    ],
)
@pytest.mark.parametrize("tick", [1, 10**6, 10**12, 10**15])
def test_any_tick_is_found_by_few_sums(
    schedule: Schedule, tick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the long cycle is thousands of short ones, and the rate is far from even."""
    schedule.due(0)  # what is worked out once
    sums: list[int] = []
    weight = Profile._weight

    def counted(self: Profile, time: int) -> int:
        sums.append(time)
        return weight(self, time)

    monkeypatch.setattr(Profile, "_weight", counted)
    due = schedule.due(tick)
    assert len(sums) <= MOST_SUMS
    monkeypatch.undo()
    assert schedule.ticks_before(due) == tick
    assert schedule.ticks_before(due + Fraction(1, 10**30)) == tick + 1
