"""The plan of an entry that was changed while it ran: one segment after the other, all of them exact.

A segment begins at a time of the run. A new rate goes on from the N that the one before has reached,
so that no part of an event is lost or made twice. While an entry is paused its plan stands still: what
was not due yet is due later by the length of the pause, its end included.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from sonda.pipeline.scenarios.numbers import NS_PER_S, as_number, fraction
from sonda.pipeline.scenarios.schedule import Progression, Schedule
from sonda.pipeline.scenarios.timing import Timing


@dataclass(frozen=True, slots=True)
class PlanSegment:
    """A part of a plan: from *from_ns* after the entry's start, and from its tick *from_tick* on.

    *timing* is its plan without pauses, *delay* the length of the pauses before it, in seconds.
    """

    from_ns: int
    from_tick: int
    timing: Timing
    delay: Fraction = Fraction(0)
    is_paused: bool = False

    @property
    def begin(self) -> Fraction:
        return Fraction(self.from_ns, NS_PER_S)

    def plan_time(self, time_s: Fraction) -> Fraction:
        """Return the time of the plan without pauses at *time_s*."""
        return (self.begin if self.is_paused else time_s) - self.delay

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it; the rate of stages or rows is theirs."""
        rate = {"rate": as_number(self.timing.rate)} if isinstance(self.timing, Schedule) else {}
        head = {"from_tick": self.from_tick, "from_ns": self.from_ns}
        return {**head, **rate, "paused": self.is_paused}


@dataclass(frozen=True)
class SegmentedTiming:
    """The ticks of an entry whose plan was changed; after a change only what was not due is another."""

    segments: tuple[PlanSegment, ...]

    @property
    def last(self) -> PlanSegment:
        """The segment that goes on."""
        return self.segments[-1]

    @property
    def planned(self) -> int | None:
        return self.last.timing.planned

    @property
    def duration(self) -> Fraction | None:
        duration = self.last.timing.duration
        return None if duration is None else duration + self.last.delay

    @property
    def peak_rate(self) -> Fraction:
        """The highest rate from now on; a pause does not count, for it may end at any time."""
        return self.last.timing.peak_rate

    def due(self, tick: int) -> Fraction:
        """Return when *tick* is due; in a pause, when it would be if that ended as it begins."""
        found = self.segments[bisect_right(self._first_ticks, tick) - 1]
        return found.timing.due(tick) + found.delay

    def ticks_before(self, time_s: Fraction) -> int:
        if time_s <= 0:
            return 0
        found = self._segment_at(time_s)
        return found.timing.ticks_before(found.plan_time(time_s))

    def target_rate(self, time_s: Fraction) -> Fraction:
        found = self.segments[max(0, bisect_right(self._begins, time_s) - 1)]
        return Fraction(0) if found.is_paused else found.timing.target_rate(found.plan_time(time_s))

    def progressions(self, ticks: range) -> Iterator[Progression]:
        """Split *ticks* at the segments, and each part as its own plan does."""
        ends: list[int | None] = [*self._first_ticks[1:], None]
        for segment, end in zip(self.segments, ends, strict=True):
            first = max(ticks.start, segment.from_tick)
            part = range(first, ticks.stop if end is None else min(ticks.stop, end))
            if part:
                for piece in segment.timing.progressions(part):
                    yield piece.later(segment.delay)

    def _segment_at(self, time_s: Fraction) -> PlanSegment:
        """Return the segment that ends at *time_s* or later, and begins before."""
        return self.segments[max(0, bisect_left(self._begins, time_s) - 1)]

    @cached_property
    def _first_ticks(self) -> list[int]:
        return [segment.from_tick for segment in self.segments]

    @cached_property
    def _begins(self) -> list[Fraction]:
        return [segment.begin for segment in self.segments]


def segments_of(timing: Timing) -> tuple[PlanSegment, ...]:
    """Return the segments of a plan: one, where it was never changed."""
    if isinstance(timing, SegmentedTiming):
        return timing.segments
    return (PlanSegment(0, 0, timing),)


def changed(
    timing: Timing, from_ns: int, *, rate: Fraction | None = None, is_paused: bool | None = None
) -> Timing:
    """Return a plan that goes on from *from_ns*, not before its last change, with another rate or a pause.

    A *rate* is for a `Schedule` alone. `None` leaves what is; so does the same again.
    """
    segments = segments_of(timing)
    last = segments[-1]
    if is_paused is None:
        is_paused = last.is_paused
    plan = last.timing
    time_s = Fraction(from_ns, NS_PER_S)
    inside = last.plan_time(time_s)
    if rate is not None and isinstance(plan, Schedule) and plan.rate != rate:
        plan = _with_rate(plan, rate, inside)
    if plan is last.timing and is_paused == last.is_paused:
        return timing
    tick = last.timing.ticks_before(inside)
    return SegmentedTiming(
        (*segments, PlanSegment(from_ns, tick, plan, time_s - inside, is_paused))
    )


def _with_rate(plan: Schedule, rate: Fraction, time_s: Fraction) -> Schedule:
    """Return the plan with another rate, which has reached the same N at *time_s*.

    After its end it is the N of its end that stays, or a higher rate would take back what was due.
    """
    if plan.duration is not None:
        time_s = min(time_s, plan.duration)
    other = replace(plan, rate=rate, shift=Fraction(0))
    return replace(other, shift=plan.reached(time_s) - other.reached(time_s))


def replayed(timing: Timing, recorded: Sequence[Mapping[str, Any]]) -> Timing:
    """Return a plan with the changes that a record lists; the first segment is the plan itself."""
    for one in recorded[1:]:
        rate = fraction(one["rate"]) if "rate" in one else None
        timing = changed(timing, one["from_ns"], rate=rate, is_paused=one["paused"])
    return timing
