"""When ticks are due where the rate goes through stages, each constant or a ramp.

N(t) is the integral of the rate. Tick k is due at the smallest t with N(t) >= k and a rate above 0.
In a ramp that is the root of a quadratic, rounded up to a nanosecond. All arithmetic is exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isqrt, lcm
from typing import NamedTuple

from sonda.pipeline.scenarios.numbers import NS_PER_S, ceil_ns
from sonda.pipeline.scenarios.schedule import Progression, one_by_one


@dataclass(frozen=True)
class Stage:
    """A stretch of the plan: from *begin* to *end* the rate goes from *first* to *last*, evenly.

    *before* is N at its begin.
    """

    begin: Fraction
    end: Fraction
    first: Fraction
    last: Fraction
    before: Fraction

    @property
    def is_ramp(self) -> bool:
        return self.first != self.last

    @property
    def after(self) -> Fraction:
        """N at its end."""
        return self.before + (self.first + self.last) * (self.end - self.begin) / 2

    def rate(self, time_s: Fraction) -> Fraction:
        """Return the rate at a time of the stage."""
        part = (time_s - self.begin) / (self.end - self.begin)
        return self.first + (self.last - self.first) * part

    def reached(self, time_s: Fraction) -> Fraction:
        """Return N at a time of the stage."""
        return self.before + (self.first + self.rate(time_s)) * (time_s - self.begin) / 2

    def due(self, tick: int) -> Fraction:
        """Return when *tick*, which is due in this stage, is due."""
        if not self.is_ramp:
            return self.begin + (tick - self.before) / self.first
        return Fraction(self._quadratic.root_ns(tick), NS_PER_S)

    @cached_property
    def _quadratic(self) -> _Quadratic:
        begin, unit = self.begin, NS_PER_S * self.begin.denominator
        steep = (self.last - self.first) / (self.end - self.begin)
        common = lcm(steep.denominator, self.first.denominator, self.before.denominator)
        per_tick = 2 * unit**2 * common
        return _Quadratic(
            square=int(steep * common),
            linear=int(2 * unit * self.first * common),
            per_tick=per_tick,
            before=int(per_tick * self.before),
            begin=begin.numerator * NS_PER_S,
            per_ns=begin.denominator,
            end_ns=ceil_ns(self.end),
        )


class _Quadratic(NamedTuple):
    """When a ramp reaches a tick, in integers: where square·m² + linear·m >= per_tick·tick - before.

    m is the time from the stage's begin, m = per_ns·time_ns - begin.
    """

    square: int
    linear: int
    per_tick: int
    before: int
    begin: int
    per_ns: int
    end_ns: int

    def root_ns(self, tick: int) -> int:
        """Return the first nanosecond at which *tick* is reached."""
        wanted = self.per_tick * tick - self.before
        root = isqrt(self.linear**2 + 4 * self.square * wanted)
        near = (root - self.linear) // (2 * self.square)
        time_ns = -(-(near + self.begin) // self.per_ns)
        while self._is_reached(wanted, time_ns - 1):
            time_ns -= 1
        while not self._is_reached(wanted, time_ns):
            time_ns += 1
        return time_ns

    def _is_reached(self, wanted: int, time_ns: int) -> bool:
        since = self.per_ns * time_ns - self.begin
        if since < 0:
            return False
        return time_ns >= self.end_ns or (self.square * since + self.linear) * since >= wanted


@dataclass(frozen=True)
class StageSchedule:
    """The ticks of an entry with stages; *count* is its end, where it has one before theirs."""

    stages: tuple[Stage, ...]
    count: int | None = None

    @property
    def duration(self) -> Fraction:
        return self.stages[-1].end

    @cached_property
    def planned(self) -> int:
        """How many ticks there are."""
        before = self._unlimited_before(self.duration)
        return before if self.count is None else min(before, self.count)

    @property
    def peak_rate(self) -> Fraction:
        return max(max(stage.first, stage.last) for stage in self.stages)

    def due(self, tick: int) -> Fraction:
        """Return when *tick* is due; raises `IndexError` where the stages are over before it is."""
        place = bisect_right(self._first_ticks, tick) - 1
        if tick < 0 or place == len(self.stages):
            raise IndexError(f"no stage has tick {tick}")
        return self.stages[place].due(tick)

    def ticks_before(self, time_s: Fraction) -> int:
        return min(self._unlimited_before(time_s), self.planned)

    def target_rate(self, time_s: Fraction) -> Fraction:
        if not 0 <= time_s < self.duration:
            return Fraction(0)
        return self._stage_at(time_s).rate(time_s)

    def progressions(self, ticks: range) -> Iterator[Progression]:
        """Split *ticks* into those of each constant stage, and each one of a ramp."""
        tick = ticks.start
        while tick < ticks.stop:
            place = bisect_right(self._first_ticks, tick) - 1
            due = self.due(tick)
            stage = self.stages[place]
            if stage.is_ramp:
                yield from one_by_one(range(tick, tick + 1), self.due)
                tick += 1
                continue
            stop = min(ticks.stop, self._first_ticks[place + 1])
            step = 1 / stage.first
            below = due.denominator * step.denominator
            yield Progression(
                range(tick, stop),
                due.numerator * step.denominator,
                step.numerator * due.denominator,
                below,
            )
            tick = stop

    @cached_property
    def _first_ticks(self) -> list[int]:
        """The first tick of each stage (of one without any: that of the next), then the end."""
        reached = [*(stage.before for stage in self.stages), self.stages[-1].after]
        return [-(-n.numerator // n.denominator) for n in reached]

    @cached_property
    def _begins(self) -> list[Fraction]:
        return [stage.begin for stage in self.stages]

    def _stage_at(self, time_s: Fraction) -> Stage:
        return self.stages[bisect_right(self._begins, time_s) - 1]

    def _unlimited_before(self, time_s: Fraction) -> int:
        """Return ⌈N(t)⌉, without a tick whose root was rounded up to *time_s* or beyond.

        Ticks are at least a microsecond apart, so that can only be the last one.
        """
        if time_s <= 0:
            return 0
        time_s = min(time_s, self.duration)
        reached = self._stage_at(time_s).reached(time_s) if time_s < self.duration else None
        reached = self.stages[-1].after if reached is None else reached
        before = -(-reached.numerator // reached.denominator)
        if before and self.due(before - 1) >= time_s:
            before -= 1
        return before


def stages_of(written: Sequence[tuple[Fraction, Fraction, bool]]) -> tuple[Stage, ...]:
    """Return the stages that follow each other: each a rate, a length, and whether it is a ramp.

    A ramp begins at the rate of the stage before it, the first at 0.
    """
    made: list[Stage] = []
    time_s = reached = last = Fraction(0)
    for rate, length, is_ramp in written:
        stage = Stage(time_s, time_s + length, last if is_ramp else rate, rate, reached)
        made.append(stage)
        time_s, reached, last = stage.end, stage.after, rate
    return tuple(made)
