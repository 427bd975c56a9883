"""When ticks are due, against an independent model that adds up segments in fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sonda.pipeline.scenarios.numbers import ceil_ns
from sonda.pipeline.scenarios.rate_profile import Cycle
from sonda.pipeline.scenarios.schedule import Schedule

_RATES = st.decimals("0.001", 1_000_000, places=3).map(Fraction)
_TIMES = st.decimals("0.5", 50, places=3).map(Fraction)


_NEAR_MULTIPLES = st.builds(
    lambda whole, more: whole + Fraction(more, 10**9), st.integers(1, 20), st.integers(0, 9)
)
_FIBONACCI = st.sampled_from([701408733, 1134903170, 1836311903, 2971215073]).map(
    lambda length_ns: Fraction(length_ns, 10**9)
)


@st.composite
def _cycles(draw: st.DrawFn) -> Cycle:
    """Draw a cycle that is longer than what happens in it, and may nearly share another's length."""
    every = draw(_TIMES | _NEAR_MULTIPLES | _FIBONACCI)
    length = draw(st.fractions(0, 1, max_denominator=1000).filter(lambda part: 0 < part < 1))
    return Cycle(every, (every * length).limit_denominator(1000) or every / 2)


@st.composite
def _schedules(draw: st.DrawFn) -> Schedule:
    gaps = draw(st.none() | _cycles())
    bursts = draw(st.none() | _cycles())
    assume(gaps is None or gaps.length < gaps.every)
    assume(bursts is None or bursts.length < bursts.every)
    multiplier = draw(st.decimals("0.1", 20, places=2).map(Fraction)) if bursts else Fraction(1)
    return Schedule(draw(_RATES), gaps, bursts, multiplier)


def _rate_at(schedule: Schedule, time: Fraction) -> Fraction:
    gaps, bursts = schedule.gaps, schedule.bursts
    if gaps and time % gaps.every >= gaps.every - gaps.length:
        return Fraction(0)
    if bursts and time % bursts.every < bursts.length:
        return schedule.rate * schedule.multiplier
    return schedule.rate


def _changes(schedule: Schedule, until: Fraction) -> list[Fraction]:
    """Return every time up to *until* at which the rate may change."""
    times = {Fraction(0), until}
    for cycle, inner in (
        (schedule.gaps, schedule.gaps and schedule.gaps.every - schedule.gaps.length),
        (schedule.bursts, schedule.bursts and schedule.bursts.length),
    ):
        if cycle and inner:
            for number in range(int(until / cycle.every) + 1):
                times |= {cycle.every * number, cycle.every * number + inner}
    return sorted(time for time in times if time <= until)


def _integral(schedule: Schedule, until: Fraction) -> Fraction:
    changes = _changes(schedule, until)
    return sum(
        (_rate_at(schedule, begin) * (end - begin) for begin, end in pairwise(changes)),
        Fraction(0),
    )


@settings(max_examples=60, deadline=None)
@given(_schedules(), st.integers(0, 10**15))
def test_the_count_before_a_tick_is_the_tick(schedule: Schedule, tick: int) -> None:
    """`ticks_before` is the inverse of `due`, for any tick."""
    due = schedule.due(tick)
    assert schedule.ticks_before(due) == tick
    assert schedule.ticks_before(due + Fraction(1, 10**40)) == tick + 1
    assert schedule.target_rate(due) > 0


@settings(max_examples=60, deadline=None)
@given(_schedules(), st.integers(0, 10**15), st.integers(1, 10**6))
def test_later_ticks_are_due_later(schedule: Schedule, tick: int, more: int) -> None:
    """Two ticks are never due at the same time."""
    assert schedule.due(tick) < schedule.due(tick + more)


@settings(max_examples=60, deadline=None)
@given(_schedules(), st.decimals(0, 40, places=4).map(Fraction))
def test_counts_equal_the_integral(schedule: Schedule, time: Fraction) -> None:
    """As many ticks are due before a time as the integral of the rate, rounded up."""
    assert schedule.ticks_before(time) == ceil(_integral(schedule, time))
    assert schedule.target_rate(time) == _rate_at(schedule, time)


@settings(max_examples=60, deadline=None)
@given(_schedules(), st.integers(0, 300))
def test_a_tick_is_due_when_the_integral_gets_there(schedule: Schedule, tick: int) -> None:
    """The integral at the time at which a tick is due is the tick's number."""
    due = schedule.due(tick)
    assume(due < 40)
    assert _integral(schedule, due) == tick
    assert _rate_at(schedule, due) > 0


@settings(max_examples=60, deadline=None)
@given(_schedules(), st.integers(0, 10**15), st.integers(0, 60), st.integers(0, 2**61))
def test_a_range_of_ticks_is_due_as_each_of_them(
    schedule: Schedule, first: int, count: int, start_ns: int
) -> None:
    """The vector form has the same times as the plain one."""
    ticks = range(first, first + count)
    pieces = list(schedule.progressions(ticks))
    assert [tick for piece in pieces for tick in piece.ticks] == list(ticks)
    stamps = [stamp for piece in pieces for stamp in piece.stamps_ns(start_ns)]
    assert stamps == [start_ns + ceil_ns(schedule.due(tick)) for tick in ticks]
    times = [Fraction(n, piece.denominator) for piece in pieces for n in piece.numerators()]
    assert times == [schedule.due(tick) for tick in ticks]


@settings(max_examples=60, deadline=None)
@given(_RATES, _TIMES)
def test_a_plain_rate_has_its_product_with_the_duration(rate: Fraction, duration: Fraction) -> None:
    """Without gaps and bursts there are exactly ⌈rate · duration⌉ ticks, the first at 0."""
    schedule = Schedule(rate, duration=duration)
    assert schedule.planned == ceil(rate * duration)
    assert schedule.due(0) == 0
    assert schedule.ticks_before(Fraction(10**12)) == schedule.planned


@pytest.mark.parametrize(("count", "planned"), [(None, 31), (7, 7), (100, 31)])
def test_the_earlier_end_counts(count: int | None, planned: int) -> None:
    """Of `duration` and `count` the one that ends first decides."""
    schedule = Schedule(Fraction("30.1"), duration=Fraction(1), count=count)
    assert schedule.planned == planned


def test_cycles_that_never_meet_again_are_not_tabulated() -> None:
    """Periods with a huge common multiple are as exact as others."""
    gaps = Cycle(Fraction("7.0000001"), Fraction("1.3"))
    bursts = Cycle(Fraction("13.0000003"), Fraction("2.7"))
    schedule = Schedule(Fraction(1000), gaps, bursts, Fraction("2.5"))
    ticks = [0, 1, 999, 123_456, 10**12, 10**15]
    assert [schedule.ticks_before(schedule.due(tick)) for tick in ticks] == ticks
