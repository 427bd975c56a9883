"""Where the histograms and summaries of an entry come from: at any tick, the totals since its start.

Totals are carried on from the nearest known tick; far from any known tick they are computed
directly. Either way they are exact, and rounded once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil
from operator import attrgetter
from typing import Final, NamedTuple

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.samples import BOUND, QUANTILE, samples
from sonda.pipeline.scenarios.dealing import Dealer, Dealt, Levels
from sonda.pipeline.scenarios.distributions import LEVELS
from sonda.pipeline.scenarios.timing import Timing

_MOST_DOUBLE: Final = Fraction(2**1024 - 2**970)
_MOST_TICKS: Final = 10**18  # of an entry without an end: more than it lives to see
_MOST_SECONDS: Final = Fraction(10**10)
_WALKED: Final = 256  # ticks that are rather worked through than had at once
_FIRST_DISTANCE: Final = 64  # ticks between two checkpoints
_MOST_CHECKPOINTS: Final = 64  # then every other is dropped, and the distance doubled


class Head(NamedTuple):
    """What an event of a tick has beside its values; the totals begin at *since_ns*."""

    tick: int
    name: str
    labels: Mapping[str, str]
    since_ns: int
    time_ns: int


class Totals(NamedTuple):
    """What all observations before a tick come to.

    *counts* has how many were at most each bound, *numerator* their sum without the shift, over the
    levels' denominator, *times* the sum of the times of those ticks, in seconds, *last* the last.
    """

    stop: int
    counts: Sequence[int]
    numerator: int
    times: Fraction
    last: Fraction


_BY_STOP: Final = attrgetter("stop")


class Checkpoints:
    """Totals that were worked out, at growing distances, and the latest; at most so many."""

    def __init__(self, first: Totals) -> None:
        self._kept = [first]
        self._latest = first
        self._distance = _FIRST_DISTANCE

    def nearest(self, stop: int, timing: Timing | None = None) -> Totals:
        """Return the last totals that are not after *stop*, and, if given, of the ticks of *timing*.

        A plan that was changed has other ticks from some time on.
        """
        place = bisect_right(self._kept, stop, key=_BY_STOP)
        known = self._kept[place - 1]
        if known.stop <= self._latest.stop <= stop:
            known = self._latest
        while timing is not None and known.stop and known.last != timing.due(known.stop - 1):
            place -= 1
            known = self._kept[place]
        return known

    def add(self, totals: Totals) -> None:
        """Keep totals as the latest, and as a checkpoint where the last one is far away."""
        self._latest = totals
        if totals.stop >= self._kept[-1].stop + self._distance:
            self._kept.append(totals)
            if len(self._kept) > _MOST_CHECKPOINTS:
                self._kept = self._kept[::2]
                self._distance *= 2


@dataclass(frozen=True)
class Observations:
    """*per_tick* observations at each tick, all of them greater by *shift* each second."""

    levels: Levels
    per_tick: int
    shift: Fraction
    dealer: Dealer

    def at(self, tick: int) -> Dealt:
        """Return the observations of one tick."""
        return self.dealer.dealt(tick * self.per_tick, (tick + 1) * self.per_tick)

    def limits(self, bounds: Sequence[Fraction], x: Fraction) -> Sequence[int]:
        """Return how many levels are at most each bound, at *x* seconds."""
        shifted = self.shift * x
        return [self.levels.up_to(bound - shifted) for bound in bounds]

    def may_be_negative(self, x: Fraction) -> bool:
        """Return whether an observation until *x* seconds may have been below 0."""
        return self.levels.values[0] + min(Fraction(0), self.shift * x) < 0

    def ranked(self, tick: int, ranks: Sequence[int], x: Fraction) -> list[float]:
        """Return the observations of these ranks, from 1 on, of a tick that is due at *x*."""
        dealt, values, shifted = self.at(tick), self.levels.values, self.shift * x
        found = [values[dealt.ranked(rank)] for rank in ranks]
        return [float(Fraction(value) + shifted) for value in found] if shifted else found

    def total(self, totals: Totals) -> float:
        """Return the sum of all observations, rounded once."""
        exact = Fraction(totals.numerator, self.levels.denominator)
        if self.shift:
            exact += self.shift * self.per_tick * totals.times
        return exact.numerator / exact.denominator


@dataclass(frozen=True)
class Observed(ABC):
    """What an entry makes of the observations of one series; *bounds* are those of its buckets."""

    observations: Observations
    bounds: tuple[Fraction, ...] = ()

    @property
    @abstractmethod
    def reserved(self) -> str:
        """The label that tells the samples of an event apart."""

    @abstractmethod
    def empty(self, name: str, labels: Mapping[str, str]) -> Histogram | Summary:
        """Return an event of this name and these labels before anything was observed."""

    @cached_property
    def width(self) -> int:
        """How many series an event has samples of."""
        return len(samples(self.empty("", {})))

    @abstractmethod
    def event(self, head: Head, x: Fraction, timing: Timing) -> Histogram | Summary:
        """Return the event of a tick that is due at *x*; all before are due as *timing* says."""

    def fits(self, timing: Timing) -> bool:
        """Return whether a double can hold the sum at every tick."""
        planned, last = timing.planned, _MOST_SECONDS
        if planned:
            last = timing.due(planned - 1)
        count = (_MOST_TICKS if planned is None else planned) * self.observations.per_tick
        largest = self.observations.levels.largest + abs(self.observations.shift) * last
        return count * largest <= _MOST_DOUBLE

    def totals(self, stop: int, timing: Timing) -> Totals:
        """Return the totals of all ticks before *stop*, which are due as *timing* says."""
        observations = self.observations
        if observations.shift:
            known = self._checkpoints.nearest(stop, timing)
            if stop - known.stop > _WALKED:
                known = self._at_once(stop, timing)
            for tick in range(known.stop, stop):
                known = self._next(known, tick, timing.due(tick))
                self._checkpoints.add(known)
            return known
        known = self._checkpoints.nearest(stop)
        first, last = known.stop * observations.per_tick, stop * observations.per_tick
        if last - first >= LEVELS:
            known, first = self._none, 0
        found = self._sum(known, observations.dealer.dealt(first, last), self._limits, stop)
        self._checkpoints.add(found)
        return found

    @property
    def _none(self) -> Totals:
        return Totals(0, [0] * len(self.bounds), 0, Fraction(0), Fraction(0))

    @cached_property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self._none)

    @cached_property
    def _limits(self) -> Sequence[int]:
        return self.observations.limits(self.bounds, Fraction(0))

    def _at_once(self, stop: int, timing: Timing) -> Totals:
        """Return totals with a shift, without those before.

        Each level passes each bound at one time: only the deal of that time needs a closer look.
        """
        observations, last = self.observations, timing.due(stop - 1)
        dealt = observations.dealer.dealt(0, stop * observations.per_tick)
        first, final = (observations.limits(self.bounds, x) for x in (Fraction(0), last))
        always = dealt.below([min(pair) for pair in zip(first, final, strict=True)])
        counts = [
            count + sum(self._passing(level, bound, stop, timing) for level in range(*sorted(pair)))
            for count, bound, *pair in zip(always, self.bounds, first, final, strict=True)
        ]
        numerator = dealt.numerator(observations.levels)
        return Totals(stop, counts, numerator, _sum_of_times(timing, stop), last)

    def _passing(self, level: int, bound: Fraction, stop: int, timing: Timing) -> int:
        """Return how often a level that passes a bound was at most that, before tick *stop*."""
        observations = self.observations
        dealer, shift = observations.dealer, observations.shift
        x = (bound - Fraction(observations.levels.values[level])) / shift
        ticks = timing.ticks_before(x)
        if shift > 0 and ticks < stop and timing.due(ticks) == x:
            ticks += 1
        passed = dealer.occurrences(level, min(ticks, stop) * observations.per_tick)
        if shift > 0:
            return passed
        return dealer.occurrences(level, stop * observations.per_tick) - passed

    def _next(self, known: Totals, tick: int, x: Fraction) -> Totals:
        dealt = self.observations.at(tick)
        found = self._sum(known, dealt, self.observations.limits(self.bounds, x), tick + 1)
        return found._replace(times=known.times + x, last=x)

    def _sum(self, known: Totals, dealt: Dealt, limits: Sequence[int], stop: int) -> Totals:
        counts = [old + new for old, new in zip(known.counts, dealt.below(limits), strict=True)]
        numerator = known.numerator + dealt.numerator(self.observations.levels)
        return Totals(stop, counts, numerator, known.times, known.last)


def _sum_of_times(timing: Timing, stop: int) -> Fraction:
    """Return the sum of the times at which the ticks before *stop* are due."""
    total = Fraction(0)
    for piece in timing.progressions(range(stop)):
        count = len(piece.ticks)
        above = count * piece.numerator + piece.step * (count * (count - 1) // 2)
        total += Fraction(above, piece.denominator)
    return total


@dataclass(frozen=True)
class HistogramOf(Observed):
    """The histograms of a series."""

    @property
    def reserved(self) -> str:
        return BOUND

    def empty(self, name: str, labels: Mapping[str, str]) -> Histogram:
        return self._of(Head(0, name, labels, 0, 0), self._none, has_negative=False)

    def event(self, head: Head, x: Fraction, timing: Timing) -> Histogram:
        has_negative = self.observations.may_be_negative(x)
        return self._of(head, self.totals(head.tick + 1, timing), has_negative=has_negative)

    def _of(self, head: Head, totals: Totals, *, has_negative: bool) -> Histogram:
        return Histogram(
            name=head.name,
            bounds=self._written,
            counts=totals.counts,
            count=totals.stop * self.observations.per_tick,
            total=self.observations.total(totals),
            since_ns=head.since_ns,
            time_ns=head.time_ns,
            has_negative=has_negative,
            labels=head.labels,
        )

    @cached_property
    def _written(self) -> Sequence[float]:
        return [float(bound) for bound in self.bounds]


@dataclass(frozen=True)
class SummaryOf(Observed):
    """The summaries of a series: the *quantiles* are of each tick's own observations."""

    quantiles: tuple[Fraction, ...] = ()

    @property
    def reserved(self) -> str:
        return QUANTILE

    def empty(self, name: str, labels: Mapping[str, str]) -> Summary:
        values = [0.0] * len(self.quantiles)
        return self._of(Head(0, name, labels, 0, 0), self._none, values)

    def event(self, head: Head, x: Fraction, timing: Timing) -> Summary:
        values = self.observations.ranked(head.tick, self._ranks, x)
        return self._of(head, self.totals(head.tick + 1, timing), values)

    def _of(self, head: Head, totals: Totals, values: Sequence[float]) -> Summary:
        return Summary(
            name=head.name,
            quantiles=self._written,
            values=values,
            count=totals.stop * self.observations.per_tick,
            total=self.observations.total(totals),
            since_ns=head.since_ns,
            time_ns=head.time_ns,
            labels=head.labels,
        )

    @cached_property
    def _ranks(self) -> Sequence[int]:
        """The place of each quantile among a tick's observations, from 1 on: the nearest rank."""
        return [max(1, ceil(one * self.observations.per_tick)) for one in self.quantiles]

    @cached_property
    def _written(self) -> Sequence[float]:
        return [float(quantile) for quantile in self.quantiles]
