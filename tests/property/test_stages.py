"""When ticks of stages are due, against an independent model that adds up trapezoids in fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sonda.pipeline.scenarios.stages import StageSchedule, stages_of

_NS = Fraction(1, 10**9)
_RATES = st.just(Fraction(0)) | st.decimals("0.001", 1_000_000, places=3).map(Fraction)
_LENGTHS = st.decimals("0.0001", 5000, places=10).map(Fraction) | st.integers(1, 10**6).map(
    Fraction
)
_WRITTEN = st.lists(st.tuples(_RATES, _LENGTHS, st.booleans()), min_size=1, max_size=8)


def _corners(written: list[tuple[Fraction, Fraction, bool]]) -> list[tuple[Fraction, Fraction]]:
    """Return the rate's polygon: time and rate, two points where it jumps."""
    points, time, rate = [(Fraction(0), Fraction(0))], Fraction(0), Fraction(0)
    for target, length, is_ramp in written:
        points += [] if is_ramp else [(time, target)]
        time, rate = time + length, target
        points.append((time, rate))
    return points


def _integral(written: list[tuple[Fraction, Fraction, bool]], until: Fraction) -> Fraction:
    area = Fraction(0)
    for (begin, first), (end, last) in pairwise(_corners(written)):
        if end > begin and until > begin:
            to = min(until, end)
            height = first + (last - first) * (to - begin) / (end - begin)
            area += (first + height) / 2 * (to - begin)
    return area


def _schedule(written: list[tuple[Fraction, Fraction, bool]]) -> StageSchedule:
    schedule = StageSchedule(stages_of(written))
    assume(schedule.planned)
    return schedule


@settings(max_examples=80, deadline=None)
@given(_WRITTEN, st.data())
def test_the_count_before_a_tick_is_the_tick(
    written: list[tuple[Fraction, Fraction, bool]], data: st.DataObject
) -> None:
    """`ticks_before` is the inverse of `due`, and ticks are due one after the other."""
    schedule = _schedule(written)
    tick = data.draw(st.integers(0, schedule.planned - 1))
    due = schedule.due(tick)
    assert 0 <= due < schedule.duration
    assert schedule.ticks_before(due) == tick
    assert schedule.ticks_before(due + Fraction(1, 10**40)) == tick + 1
    if tick + 1 < schedule.planned:
        assert schedule.due(tick + 1) > due


@settings(max_examples=80, deadline=None)
@given(_WRITTEN, st.data())
def test_a_tick_is_due_when_the_integral_gets_there(
    written: list[tuple[Fraction, Fraction, bool]], data: st.DataObject
) -> None:
    """The integral reaches the tick's number then, and has not a nanosecond before."""
    schedule = _schedule(written)
    tick = data.draw(st.integers(0, schedule.planned - 1))
    due = schedule.due(tick)
    assert _integral(written, due) >= tick
    assert tick == 0 or _integral(written, due - _NS) < tick or due % _NS


@settings(max_examples=80, deadline=None)
@given(_WRITTEN, st.fractions(0, 1, max_denominator=10**6))
def test_counts_equal_the_integral(
    written: list[tuple[Fraction, Fraction, bool]], part: Fraction
) -> None:
    """As many ticks as the integral, rounded up; one less where a root was rounded to that time."""
    schedule = _schedule(written)
    time = schedule.duration * part
    model = ceil(_integral(written, time))
    counted = schedule.ticks_before(time)
    late = model > counted and schedule.due(counted) >= time if counted < schedule.planned else True
    assert counted == model or (counted == model - 1 and late)


@settings(max_examples=40, deadline=None)
@given(_WRITTEN, st.data())
def test_a_range_of_ticks_is_due_as_each_of_them(
    written: list[tuple[Fraction, Fraction, bool]], data: st.DataObject
) -> None:
    """The vector form has the same times as the plain one."""
    schedule = _schedule(written)
    first = data.draw(st.integers(0, schedule.planned - 1))
    ticks = range(first, min(schedule.planned, first + data.draw(st.integers(0, 60))))
    pieces = list(schedule.progressions(ticks))
    assert [tick for piece in pieces for tick in piece.ticks] == list(ticks)
    times = [Fraction(n, piece.denominator) for piece in pieces for n in piece.numerators()]
    assert times == [schedule.due(tick) for tick in ticks]


@settings(max_examples=40, deadline=None)
@given(_RATES.filter(bool), _LENGTHS)
def test_a_constant_stage_is_a_plain_rate(rate: Fraction, length: Fraction) -> None:
    """One stage without a ramp has the ticks of `rate` and `duration`."""
    from sonda.pipeline.scenarios.schedule import Schedule

    plain, staged = Schedule(rate, duration=length), _schedule([(rate, length, False)])
    assert staged.planned == plain.planned
    for tick in {0, staged.planned // 2, staged.planned - 1}:
        assert staged.due(tick) == plain.due(tick)
