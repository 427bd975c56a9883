"""When each tick is due: exact, in constant or logarithmic time, for any tick.

The rate is piecewise constant: a cycle of gaps ends with its gap, where it is 0; a cycle of bursts
begins with its burst, where it is multiplied; a gap wins. N(t) is its integral. Tick k is due at the
smallest t with N(t) >= k and a rate above 0, which is the largest t with N(t) <= k.
Times are integers in a unit in which every period and length is one; `rate_profile` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm
from typing import Final

from sonda.pipeline.scenarios.numbers import NS_PER_S
from sonda.pipeline.scenarios.rate_profile import Cycle, Profile, Segment, profile

_WALKED: Final = 8  # segments without a tick, before the next one is looked up


@dataclass(frozen=True, slots=True)
class Progression:
    """The ticks of a range, due at equal distances.

    The one at place j is due at (numerator + j·step) / denominator seconds.
    """

    ticks: range
    numerator: int
    step: int
    denominator: int

    def numerators(self) -> range:
        """Return the numerators of the times at which the ticks are due."""
        stop = self.numerator + len(self.ticks) * self.step
        return range(self.numerator, stop, self.step)

    def later(self, span: Fraction) -> Progression:
        """Return the same ticks, each due later by *span* seconds."""
        if not span:
            return self
        below = lcm(self.denominator, span.denominator)
        scale = below // self.denominator
        more = span.numerator * (below // span.denominator)
        return Progression(self.ticks, self.numerator * scale + more, self.step * scale, below)

    def stamps_ns(self, start_ns: int) -> list[int] | range:
        """Return start + due of each tick in nanoseconds, rounded up.

        After as many ticks as *turns* a whole number of nanoseconds has passed: those that are so
        far from one another are a range.
        """
        first, step, below = self.numerator * NS_PER_S, self.step * NS_PER_S, self.denominator
        count, turns = len(self.ticks), below // gcd(step, below)
        later_ns = step * turns // below
        if turns == 1:
            begin = start_ns - (-first // below)
            return range(begin, begin + count * later_ns, later_ns)
        stamps = [
            start_ns - (-(first + place * step) // below) for place in range(min(turns, count))
        ]
        if turns < count:
            stamps += [0] * (count - turns)
            for place, begin in enumerate(stamps[:turns]):
                shared = -(-(count - place) // turns)
                stamps[place::turns] = range(begin, begin + shared * later_ns, later_ns)
        return stamps


def one_by_one(ticks: range, due: Callable[[int], Fraction]) -> Iterator[Progression]:
    """Yield each tick alone, as *due* says: for ticks that are at no equal distances."""
    for tick in ticks:
        at = due(tick)
        yield Progression(range(tick, tick + 1), at.numerator, 1, at.denominator)


@dataclass(frozen=True)
class Schedule:
    """The ticks of an entry; *count* and *duration* (s) are its ends, where it has any.

    *shift* is what N has more than the integral of this rate, where another rate was before it.
    """

    rate: Fraction
    gaps: Cycle | None = None
    bursts: Cycle | None = None
    multiplier: Fraction = field(default=Fraction(1))
    duration: Fraction | None = None
    count: int | None = None
    shift: Fraction = Fraction(0)

    @cached_property
    def planned(self) -> int | None:
        """How many ticks there are; `None` without an end."""
        ends = [] if self.count is None else [self.count]
        if self.duration is not None:
            ends.append(self._unlimited_before(self.duration))
        return min(ends, default=None)

    @property
    def peak_rate(self) -> Fraction:
        """The highest rate, in ticks per second."""
        return self.rate * max(Fraction(1), self.multiplier if self.bursts else Fraction(1))

    def due(self, tick: int) -> Fraction:
        """Return when *tick* is due, in seconds from the entry's start."""
        piece = self._piece(self._locate(tick), tick)
        return Fraction(piece.numerator, piece.denominator)

    def reached(self, time_s: Fraction) -> Fraction:
        """Return N at *time_s*."""
        return Fraction(*self._reached(time_s))

    def ticks_before(self, time_s: Fraction) -> int:
        """Return how many ticks are due before *time_s*; the inverse of `due`."""
        if time_s <= 0:
            return 0
        before = self._unlimited_before(time_s)
        return before if self.planned is None else min(before, self.planned)

    def target_rate(self, time_s: Fraction) -> Fraction:
        """Return the rate at *time_s*, in ticks per second."""
        slope = self._profile.slope(time_s * self._profile.unit)
        return self.rate * slope / self.multiplier.denominator

    def progressions(self, ticks: range) -> Iterator[Progression]:
        """Split *ticks*, whose step is 1, into stretches of a constant rate."""
        tick, stop = ticks.start, ticks.stop
        while tick < stop:
            segments = self._locate(tick)
            empty = 0
            while tick < stop and empty < _WALKED:
                segment = next(segments)
                last = self._last_tick(segment, stop - 1)
                if last < tick:
                    empty += 1
                    continue
                piece = self._cut(segment, range(tick, last + 1))
                tick, empty = last + 1, 0
                yield piece

    @cached_property
    def _profile(self) -> Profile:
        return profile(self.gaps, self.bursts, self.multiplier)

    @cached_property
    def _ticks_above(self) -> int:
        """N is (*this* · weight + `_shift_above`) / `_ticks_below`, in integers."""
        return self.rate.numerator * self.shift.denominator

    @cached_property
    def _ticks_below(self) -> int:
        below = self.rate.denominator * self.multiplier.denominator * self._profile.unit
        return below * self.shift.denominator

    @cached_property
    def _shift_above(self) -> int:
        return int(self.shift * self._ticks_below)

    def _locate(self, tick: int) -> Iterator[Segment]:
        """Yield the segments from that in which *tick* is due, or a little before."""
        goal = tick * self._ticks_below - self._shift_above
        return self._profile.locate(goal, self._ticks_above)

    def _unlimited_before(self, time_s: Fraction) -> int:
        """Return ⌈N(t)⌉."""
        above, below = self._reached(time_s)
        return -(-above // below)

    def _reached(self, time_s: Fraction) -> tuple[int, int]:
        """Return N(t) as a numerator and a denominator, not reduced: reducing takes longer than all else."""
        below = time_s.denominator
        weight = self._profile.weight(time_s.numerator * self._profile.unit, below)
        return weight * self._ticks_above + self._shift_above * below, below * self._ticks_below

    def _last_tick(self, segment: Segment, most: int) -> int:
        """Return the last tick that is due in a segment, at most *most*: N at its end is not reached."""
        if segment.slope == 0:
            return -1
        if segment.end is None:
            return most
        weight = segment.weight + segment.slope * (segment.end - segment.begin)
        above = weight * self._ticks_above + self._shift_above
        return min((above - 1) // self._ticks_below, most)

    def _piece(self, segments: Iterator[Segment], tick: int) -> Progression:
        for segment in segments:
            if self._last_tick(segment, tick) >= tick:
                return self._cut(segment, range(tick, tick + 1))
        raise AssertionError("segments go on for ever")

    def _cut(self, segment: Segment, ticks: range) -> Progression:
        """Return the ticks of one segment: begin + (tick - N(begin)) / rate, over one denominator."""
        steep = self._ticks_above * segment.slope
        numerator = (
            steep * segment.begin
            - self._ticks_above * segment.weight
            + ticks.start * self._ticks_below
            - self._shift_above
        )
        step, denominator = self._ticks_below, steep * self._profile.unit
        common = gcd(numerator, step, denominator)
        return Progression(ticks, numerator // common, step // common, denominator // common)
