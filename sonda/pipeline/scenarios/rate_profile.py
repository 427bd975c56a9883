"""How the rate changes with gaps and bursts: its weight, and where a weight is reached.

The weight W is the integral of the rate's factor (0 in a gap, the multiplier in a burst, else 1),
times the multiplier's denominator, so that it is an integer at every integer time.
A common cycle of few segments is tabulated. Where it would have too many, sums of floors stand in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Final, NamedTuple

from sonda.pipeline.scenarios.overlap_sums import OverlapSums

_MOST_SEGMENTS: Final = 4096  # of a table
_WALKED: Final = 3  # long cycles, from one whose weight is known
_NEAR: Final = 5  # long cycles beside a guess
_BISECTED: Final = 4  # of so many steps one halves, however the weight grows


class Cycle(NamedTuple):
    """Something that happens *every* so many seconds, for *length* seconds."""

    every: Fraction
    length: Fraction


class Segment(NamedTuple):
    """A stretch of constant rate: from *begin*, where the weight is *weight*, up to *end*.

    The last one of a rate that never changes has no end.
    """

    begin: int
    end: int | None
    weight: int
    slope: int


@dataclass(frozen=True)
class Profile:
    """A rate that changes in cycles; times in 1/*unit* s.

    *rest* and *cycle* are the end of the rate's part and the length of a cycle of gaps, *burst* and
    *burst_cycle* those of bursts; 0 where there are none.
    """

    unit: int
    rest: int
    cycle: int
    burst: int
    burst_cycle: int
    plain: int
    raised: int

    def slope(self, time: Fraction) -> int:
        """Return how the weight grows at *time*."""
        return self._slope(time.numerator // time.denominator)

    def weight(self, above: int, below: int) -> int:
        """Return *below* times the weight at time *above* / *below*."""
        whole, rest = divmod(above, below)
        weight = self._weight(whole) * below
        return weight + self._slope(whole) * rest if rest else weight

    def locate(self, above: int, below: int) -> Iterator[Segment]:
        """Yield the segments from the one in which the weight exceeds *above* / *below*, or a little before.

        The integral is linear in a segment, so the caller finds the moment itself.
        """
        if not self.cycle and not self.burst_cycle:
            yield Segment(0, None, 0, self.plain)
            return
        if self._table is None:
            goal = above // below
            for segment in self._segments(*self._shortly_before(goal)):
                begin, end, weight, slope = segment
                if end is None or weight + slope * (end - begin) > goal:
                    break
        else:
            times, weights = self._table
            full, rest = divmod(above, below * weights[-1])
            place = bisect_right(weights, rest // below) - 1
            begin = full * times[-1] + times[place]
            weight = full * weights[-1] + weights[place]
        yield from self._segments(begin, weight)

    def _slope(self, time: int) -> int:
        if self.cycle and time % self.cycle >= self.rest:
            return 0
        in_burst = self.burst_cycle and time % self.burst_cycle < self.burst
        return self.raised if in_burst else self.plain

    def _segments(self, begin: int, weight: int) -> Iterator[Segment]:
        """Yield the segments from *begin* on; a gap is one, whatever bursts it hides."""
        cycle, rest, burst_cycle, burst = self.cycle, self.rest, self.burst_cycle, self.burst
        while True:
            slope, ends = self.plain, []
            if burst_cycle:
                place = begin % burst_cycle
                slope = self.raised if place < burst else self.plain
                ends.append(begin - place + (burst if place < burst else burst_cycle))
            if cycle:
                place = begin % cycle
                if place >= rest:
                    slope, ends = 0, []
                ends.append(begin - place + (rest if place < rest else cycle))
            end = min(ends)
            yield Segment(begin, end, weight, slope)
            weight += slope * (end - begin)
            begin = end

    @cached_property
    def _table(self) -> tuple[list[int], list[int]] | None:
        """The boundaries of a common cycle, and the weights there."""
        cycles = [cycle for cycle in (self.cycle, self.burst_cycle) if cycle]
        common = lcm(*cycles)
        if sum(2 * common // cycle for cycle in cycles) > _MOST_SEGMENTS:
            return None
        times, weights = [0], [0]
        for segment in self._segments(0, 0):
            end = segment.end or 0
            times.append(end)
            weights.append(segment.weight + segment.slope * (end - segment.begin))
            if end == common:
                return times, weights
        raise AssertionError("a segment ends with the common cycle")

    def _weight(self, time: int) -> int:
        if not self.cycle and not self.burst_cycle:
            return time * self.plain
        if self._table is not None:
            times, weights = self._table
            full, rest = divmod(time, times[-1])
            place = bisect_right(times, rest) - 1
            into = (rest - times[place]) * self._slope(time)
            return full * weights[-1] + weights[place] + into
        return self.plain * self._on(time) + (self.raised - self.plain) * self._on_in_bursts(time)

    def _on(self, time: int) -> int:
        """Return for how long there was no gap before *time*."""
        full, rest = divmod(time, self.cycle)
        return full * self.rest + min(rest, self.rest)

    def _on_in_bursts(self, time: int) -> int:
        """Return for how long there was a burst and no gap before *time*."""
        full, rest = divmod(time, self.burst_cycle)
        begin = full * self.burst_cycle
        part = self._on(begin + min(rest, self.burst)) - self._on(begin)
        return self._overlap.total(full) + part

    @cached_property
    def _overlap(self) -> OverlapSums:
        return OverlapSums(self.burst_cycle, self.burst, self.cycle, self.rest)

    def _shortly_before(self, goal: int) -> tuple[int, int]:
        """Return a time a few segments before the weight exceeds *goal*, and its weight.

        In each of the two parts of a long cycle all whole short cycles have the same weight.
        """
        short, long = sorted((self.cycle, self.burst_cycle))
        number, weight = self._long_cycle_at(max(0, goal), long)
        begin = number * long
        part, length = 0, self.rest if long == self.cycle else self.burst
        after = weight + self._local(0, begin, begin + length)
        if after <= goal:
            part, begin, weight, length = 1, begin + length, after, long - length
        first = -(-begin // short) * short
        at_first = weight + self._local(part, begin, first)
        whole = (begin + length - first) // short
        if whole <= 0 or at_first > goal:
            return begin, weight
        whole_weight = self._local(part, first, first + short)
        passed = min((goal - at_first) // whole_weight, whole)
        return first + passed * short, at_first + passed * whole_weight

    def _local(self, part: int, begin: int, end: int) -> int:
        """Return the weight from *begin* to *end*, which are in one part of a long cycle.

        Each short cycle begins with *active*: a burst, or what is no gap.
        """
        if self.cycle > self.burst_cycle:
            short, active = self.burst_cycle, self.burst
            rest, slope = ((self.plain, self.raised), (0, 0))[part]
        else:
            short, active = self.cycle, self.rest
            rest, slope = 0, (self.raised, self.plain)[part]
        past_end, past_begin = end % short, begin % short
        on = (end // short - begin // short) * active
        on += min(past_end, active) - min(past_begin, active)
        return rest * (end - begin) + (slope - rest) * on

    def _long_cycle_at(self, goal: int, long: int) -> tuple[int, int]:
        """Return the long cycle in which the weight exceeds *goal*, and the weight at its start.

        The first guess is mostly near enough to walk from there.
        """
        time, weight = self._sample
        number, stride, tries = goal * time // (weight * long), 1, 0
        bracket = _Bracket(goal)
        while True:
            number, found, is_there = self._walk(goal, number, self._weight(number * long), long)
            if is_there:
                return number, found
            bracket.narrow(number, goal - found)
            tries += 1
            if not bracket.is_closed:
                number += (goal - found) * time // (weight * long) + stride
                stride *= 2
            else:
                number = bracket.guess(is_halved=tries % _BISECTED == 0)

    def _walk(self, goal: int, number: int, weight: int, long: int) -> tuple[int, int, bool]:
        """Walk from the start of a long cycle, where the weight is known, towards *goal*.

        Return the cycle that is come to, the weight at its start, and whether *goal* is in it.
        """
        for _ in range(_WALKED):
            if weight > goal:
                number -= 1
                weight -= self._of_long_cycle(number, long)
                if weight <= goal:
                    return number, weight, True
            else:
                after = weight + self._of_long_cycle(number, long)
                if after > goal:
                    return number, weight, True
                number, weight = number + 1, after
        return number, weight, False

    def _of_long_cycle(self, number: int, long: int) -> int:
        """Return the weight of a long cycle."""
        begin, end = number * long, (number + 1) * long
        middle = begin + (self.rest if long == self.cycle else self.burst)
        return self._local(0, begin, middle) + self._local(1, middle, end)

    @cached_property
    def _sample(self) -> tuple[int, int]:
        """A long time, and the weight at it: their ratio is near every other's."""
        time = max(self.cycle, self.burst_cycle) << 60
        return time, self._weight(time)


class _Bracket:
    """Where something that ascends from 0 is too low and too high for *goal*, and by how much.

    A guess is where a straight line between both meets the goal. An end that stays twice weighs less
    (the rule of Anderson and Björck), so that the other one does not creep.
    """

    def __init__(self, goal: int) -> None:
        self._low, self._below = 0, goal
        self._high, self._above = 0, 0  # of which nothing is known yet
        self._last = 0

    @property
    def is_closed(self) -> bool:
        """Whether something too high is known."""
        return self._high > 0

    def narrow(self, number: int, missing: int) -> None:
        """Take in that *missing* is missing at *number*: less than 0 where it is too high."""
        side = 1 if missing < 0 else -1
        if side > 0:
            if side == self._last:
                self._below = _bent(self._below, self._above, -missing)
            self._high, self._above = number, -missing
        else:
            if side == self._last and self.is_closed:
                self._above = _bent(self._above, self._below, missing)
            self._low, self._below = number, missing
        self._last = side

    def guess(self, *, is_halved: bool) -> int:
        """Return what may be right: not less than what is too low, and less than what is too high."""
        width = self._high - self._low
        ahead = width // 2 if is_halved else self._below * width // (self._below + self._above)
        return self._low + min(ahead, width - 1)


def _bent(stayed: int, before: int, now: int) -> int:
    """Return what stayed, less by the part by which the other end has come nearer."""
    return max(1, stayed * (before - now) // before if now < before else stayed // 2)


def profile(gaps: Cycle | None, bursts: Cycle | None, multiplier: Fraction) -> Profile:
    """Return the profile of a rate with these gaps and bursts."""
    times = [time for cycle in (gaps, bursts) if cycle for time in cycle]
    unit = lcm(*(time.denominator for time in times))

    def whole(time: Fraction) -> int:
        return int(time * unit)

    cycle, rest = (whole(gaps.every), whole(gaps.every - gaps.length)) if gaps else (0, 0)
    burst_cycle, burst = (whole(bursts.every), whole(bursts.length)) if bursts else (0, 0)
    return Profile(
        unit, rest, cycle, burst, burst_cycle, multiplier.denominator, multiplier.numerator
    )
