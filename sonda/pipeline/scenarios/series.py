"""A fleet: one entry that makes many series, each with its own draws and the entry's rate.

The ticks of its series take turns: of N series, tick k of series s is tick k·N + s of the fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final

from sonda.pipeline.model import Event
from sonda.pipeline.scenarios.generators import Ratios, Shape
from sonda.pipeline.scenarios.generators.sawtooth import Sawtooth
from sonda.pipeline.scenarios.generators.sine import Sine
from sonda.pipeline.scenarios.generators.spike import Spike
from sonda.pipeline.scenarios.numbers import ceil_ns
from sonda.pipeline.scenarios.plan import Content, Entry, Labels, LabelSet
from sonda.pipeline.scenarios.schedule import Progression, one_by_one
from sonda.pipeline.scenarios.timing import Timing

FEW: Final = 8  # turns: for fewer it does not pay to work out a stretch of each series


@dataclass(frozen=True, slots=True)
class FleetSchedule:
    """The ticks of *count* series that take turns; *each* is the schedule of one."""

    each: Timing
    count: int

    @property
    def planned(self) -> int | None:
        planned = self.each.planned
        return None if planned is None else planned * self.count

    @property
    def duration(self) -> Fraction | None:
        return self.each.duration

    @property
    def peak_rate(self) -> Fraction:
        return self.each.peak_rate * self.count

    def due(self, tick: int) -> Fraction:
        return self.each.due(tick // self.count)

    def ticks_before(self, time_s: Fraction) -> int:
        return self.each.ticks_before(time_s) * self.count

    def target_rate(self, time_s: Fraction) -> Fraction:
        return self.each.target_rate(time_s) * self.count

    def progressions(self, ticks: range) -> Iterator[Progression]:
        """Yield each tick alone: those of one turn are due at once, which is no distance."""
        return one_by_one(ticks, self.due)


@dataclass(frozen=True, slots=True)
class Shifted:
    """A shape that is *ahead* of another by so many seconds."""

    shape: Shape
    ahead: Fraction

    def exact(self, tick: int, x: Fraction) -> Fraction:
        return self.shape.exact(tick, x + self.ahead)

    def ratios(self, x: Progression) -> Ratios:
        return self.shape.ratios(x.later(self.ahead))

    def doubles(self, x: Progression) -> list[float]:
        return self.shape.doubles(x.later(self.ahead))

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:
        return self.shape.bounds(ticks)


def period_of(shape: Shape) -> Fraction | None:
    """Return the period of a shape that follows the time, in seconds; `None` where it has none."""
    match shape:
        case Sine() | Sawtooth():
            return shape.period
        case Spike():
            return shape.interval
        case _:
            return None


@dataclass(frozen=True, kw_only=True)
class FleetEntry(Entry):
    """An entry of many series. `labels` and `content` are as a series without labels of its own."""

    each: Timing
    own_labels: tuple[LabelSet, ...]
    """What tells each series from the others."""
    content_of: Callable[[int], Content]
    """Returns where the content of a series comes from."""

    @property
    def series(self) -> int:
        return len(self.own_labels) * self.one(0).series

    @property
    def turning(self) -> int:
        return len(self.own_labels) * self.labels.count

    def label_sets(self) -> Iterator[LabelSet]:
        for place in range(len(self.own_labels)):
            yield from self.one(place).label_sets()

    def event(self, tick: int) -> Event:
        turn, place = divmod(tick, len(self.own_labels))
        return self.one(place).event(turn)

    def value(self, tick: int) -> float:
        turn, place = divmod(tick, len(self.own_labels))
        return self.one(place).value(turn)

    def values(self, ticks: range) -> list[float]:
        return [self.value(tick) for tick in ticks]

    def events(self, ticks: range) -> list[Event]:
        count, made = len(self.own_labels), dict[int, Event]()
        if len(ticks) < FEW * count:
            return self._by_turn(ticks)
        for tick in ticks[:count]:
            place = tick % count
            turns = range(tick // count, -((place - ticks.stop) // count))
            for turn, event in zip(turns, self.one(place).events(turns), strict=True):
                made[turn * count + place] = event
        return [made[tick] for tick in ticks]

    def _by_turn(self, ticks: range) -> list[Event]:
        """Return events, with the arithmetic of each turn's time done once."""
        count, made = len(self.own_labels), list[Event]()
        turn, x, time_ns = -1, Fraction(0), 0
        for tick in ticks:
            if tick // count != turn:
                turn = tick // count
                x = self.each.due(turn)
                time_ns = self.start_ns + ceil_ns(x)
            made.append(self.one(tick % count).event_at(turn, x, time_ns))
        return made

    def stamps_ns(self, ticks: range) -> Sequence[int]:
        count = len(self.own_labels)
        turns = range(ticks.start // count, -(-ticks.stop // count))
        stamps = self.one(0).stamps_ns(turns)
        return [stamps[tick // count - turns.start] for tick in ticks]

    @cached_property
    def _made(self) -> dict[int, Entry]:
        return {}

    def one(self, place: int) -> Entry:
        """Return the entry that makes one series alone."""
        if place not in self._made:
            fixed = {**self.labels.fixed, **self.own_labels[place]}
            own = {
                "schedule": self.each,
                "labels": Labels(fixed, self.labels.dynamic),
                "content": self.content_of(place),
            }
            self._made[place] = Entry(**{**self.parts(), **own})
        return self._made[place]
