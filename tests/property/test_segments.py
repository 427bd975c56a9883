"""A plan that was changed on the way, against an independent model that adds up its segments."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonda.pipeline.scenarios.numbers import NS_PER_S
from sonda.pipeline.scenarios.rate_profile import Cycle
from sonda.pipeline.scenarios.schedule import Schedule
from sonda.pipeline.scenarios.segments import changed, replayed, segments_of
from sonda.pipeline.scenarios.stages import StageSchedule, stages_of
from sonda.pipeline.scenarios.timing import Timing

_RATES = st.decimals("0.1", 500, places=2).map(Fraction)
_SECONDS = st.decimals("0.01", 20, places=3).map(Fraction)


class Change(NamedTuple):
    """A change so many nanoseconds after the one before."""

    after_ns: int
    rate: Fraction | None
    is_paused: bool | None


_CHANGES = st.lists(
    st.builds(
        Change,
        st.integers(0, 5 * NS_PER_S),
        st.none() | _RATES,
        st.none() | st.booleans(),
    ),
    max_size=6,
)


@st.composite
def _schedules(draw: st.DrawFn) -> Schedule:
    """Draw a rate, and perhaps gaps, bursts and ends."""
    gaps, bursts, multiplier = None, None, Fraction(1)
    if draw(st.booleans()):
        gaps = Cycle(Fraction(3), Fraction(1))
    if draw(st.booleans()):
        bursts, multiplier = Cycle(Fraction(2), Fraction(1, 2)), Fraction(5, 2)
    duration = draw(st.none() | _SECONDS)
    count = draw(st.none() | st.integers(1, 300))
    return Schedule(draw(_RATES), gaps, bursts, multiplier, duration, count)


def _stages() -> StageSchedule:
    return StageSchedule(
        stages_of(
            [
                (Fraction(20), Fraction(4), True),
                (Fraction(20), Fraction(3), False),
                (Fraction(5), Fraction(6), True),
            ]
        )
    )


def _applied(timing: Timing, changes: list[Change]) -> Timing:
    now_ns = 0
    for change in changes:
        now_ns += change.after_ns
        timing = changed(timing, now_ns, rate=change.rate, is_paused=change.is_paused)
    return timing


def _factor(schedule: Schedule, time_s: Fraction) -> Fraction:
    gaps, bursts = schedule.gaps, schedule.bursts
    if gaps and time_s % gaps.every >= gaps.every - gaps.length:
        return Fraction(0)
    if bursts and time_s % bursts.every < bursts.length:
        return schedule.multiplier
    return Fraction(1)


def _model(schedule: Schedule, changes: list[Change], until: Fraction) -> Fraction:
    """Return N at *until*: the plan's clock stands in a pause, and every rate is added up."""
    edges = {Fraction(0)}
    spans: list[tuple[Fraction, Fraction, Fraction]] = []  # of the plan's clock: from, to, rate
    plan_s, rate, is_paused, now_ns, before = Fraction(0), schedule.rate, False, 0, Fraction(0)
    for change in [*changes, None]:
        now_ns = now_ns if change is None else now_ns + change.after_ns
        end = until if change is None else min(until, Fraction(now_ns, NS_PER_S))
        if end > before:
            if not is_paused:
                spans.append((plan_s, plan_s + end - before, rate))
                plan_s += end - before
            before = end
        if change is not None and Fraction(now_ns, NS_PER_S) < until:
            rate = rate if change.rate is None else change.rate
            is_paused = is_paused if change.is_paused is None else change.is_paused
    quarter = Fraction(1, 4)  # every cycle of these schedules changes at a multiple of it
    total = Fraction(0)
    for begin, end, of in spans:
        edges = {begin, end} | {quarter * n for n in range(int(begin * 4), int(end * 4) + 2)}
        inside = sorted(edge for edge in edges if begin <= edge <= end)
        total += sum(
            (_factor(schedule, one) * of * (other - one) for one, other in pairwise(inside)),
            Fraction(0),
        )
    return total


@settings(max_examples=60, deadline=None)
@given(_schedules(), _CHANGES, st.fractions(0, 40, max_denominator=1000))
def test_n_is_the_sum_of_the_segments(
    schedule: Schedule, changes: list[Change], until: Fraction
) -> None:
    """Without an end, the ticks before any time are the integral of all rates so far, rounded up."""
    endless = Schedule(schedule.rate, schedule.gaps, schedule.bursts, schedule.multiplier)
    reached = _model(endless, changes, until)
    expected = -(-reached.numerator // reached.denominator)
    assert _applied(endless, changes).ticks_before(until) == expected


@pytest.mark.parametrize("rate", [Fraction(1, 100), Fraction(901, 100)])
def test_a_plan_that_has_ended_stays_as_it_was(rate: Fraction) -> None:
    """A rate that comes after the end, while the last event is on its way, adds and takes nothing."""
    ended = Schedule(Fraction(1, 10), duration=Fraction(15))
    late = changed(ended, 16 * NS_PER_S, rate=rate)
    assert (late.planned, late.duration) == (2, Fraction(15))
    assert [late.due(tick) for tick in range(2)] == [0, 10]
    assert late.ticks_before(Fraction(100)) == 2


@settings(max_examples=60, deadline=None)
@given(st.one_of(_schedules(), st.builds(_stages)), _CHANGES, st.data())
def test_due_and_ticks_before_stay_inverse(
    schedule: Timing, changes: list[Change], data: st.DataObject
) -> None:
    """Ticks are in order, `progressions` has the same times, and no change moves what was due."""
    timing = _applied(schedule, [*changes, Change(0, None, False)])
    planned = timing.planned
    assert planned is None or planned >= 0
    most = 400 if planned is None else planned
    ticks = range(min(most, data.draw(st.integers(0, 300))), min(most, 400))
    due = [timing.due(tick) for tick in ticks]
    assert all(before < after for before, after in pairwise(due))
    pieces = [
        Fraction(piece.numerator + place * piece.step, piece.denominator)
        for piece in timing.progressions(ticks)
        for place in range(len(piece.ticks))
    ]
    assert pieces == due
    for tick, time_s in zip(ticks, due, strict=True):
        assert timing.ticks_before(time_s) == tick
        assert timing.ticks_before(time_s + Fraction(1, 10**12)) == tick + 1
    earlier: Timing = schedule
    now_ns = 0
    for change in changes:
        now_ns += change.after_ns
        after = changed(earlier, now_ns, rate=change.rate, is_paused=change.is_paused)
        was_due = earlier.ticks_before(Fraction(now_ns, NS_PER_S))
        assert after.ticks_before(Fraction(now_ns, NS_PER_S)) == was_due
        assert [after.due(tick) for tick in range(was_due)] == [
            earlier.due(tick) for tick in range(was_due)
        ]
        earlier = after


@settings(max_examples=30, deadline=None)
@given(_schedules(), _CHANGES)
def test_a_record_makes_the_same_plan_again(schedule: Schedule, changes: list[Change]) -> None:
    """What is stored of the segments is all there is to them."""
    timing = _applied(schedule, changes)
    recorded = [segment.document() for segment in segments_of(timing)]
    again = replayed(schedule, recorded)
    assert segments_of(again) == segments_of(timing)
