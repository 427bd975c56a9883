"""A part of a plan: of N shards each event is in exactly one, with the bytes that it always has.

Metrics are divided by series, over all entries, so that a series stays in its order; logs by tick.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Final

from sonda.pipeline.model import Event
from sonda.pipeline.scenarios.plan import Entry, LabelSet, Scenario
from sonda.pipeline.scenarios.schedule import Progression, one_by_one
from sonda.pipeline.scenarios.states import Shard
from sonda.pipeline.scenarios.timing import Timing

_DENSE: Final = 4  # of so many ticks one is wanted: they are made together, and the rest left out


@dataclass(frozen=True, slots=True)
class Members:
    """The ticks of a part: those whose number mod *cycle* is among *places*, which ascend."""

    cycle: int
    places: Sequence[int]

    def tick(self, number: int) -> int:
        """Return the part's tick of this number as the whole numbers it."""
        rounds, place = divmod(number, len(self.places))
        return rounds * self.cycle + self.places[place]

    def before(self, tick: int) -> int:
        """Return how many of the part's ticks are before a tick of the whole."""
        rounds, place = divmod(tick, self.cycle)
        return rounds * len(self.places) + bisect_left(self.places, place)


@dataclass(frozen=True, slots=True)
class ShardSchedule:
    """The ticks of a part, numbered from 0; *whole* is the schedule of all."""

    whole: Timing
    members: Members

    @property
    def planned(self) -> int | None:
        planned = self.whole.planned
        return None if planned is None else self.members.before(planned)

    @property
    def duration(self) -> Fraction | None:
        return self.whole.duration

    @property
    def peak_rate(self) -> Fraction:
        return self.whole.peak_rate * self._share

    def due(self, tick: int) -> Fraction:
        return self.whole.due(self.members.tick(tick))

    def ticks_before(self, time_s: Fraction) -> int:
        return self.members.before(self.whole.ticks_before(time_s))

    def target_rate(self, time_s: Fraction) -> Fraction:
        return self.whole.target_rate(time_s) * self._share

    def progressions(self, ticks: range) -> Iterator[Progression]:
        return one_by_one(ticks, self.due)

    @property
    def _share(self) -> Fraction:
        return Fraction(len(self.members.places), self.members.cycle)


@dataclass(frozen=True, kw_only=True)
class ShardEntry(Entry):
    """A part of an entry; its ticks are numbered anew, its events are those of the *whole*."""

    whole: Entry
    members: Members

    @property
    def turning(self) -> int:
        rounds = lcm(self.whole.turning, self.members.cycle) // self.members.cycle
        return rounds * len(self.members.places)

    @property
    def series(self) -> int:
        if self.signal_type == "logs":
            return self.whole.series
        return self.whole.series * len(self.members.places) // self.members.cycle

    def label_sets(self) -> Iterator[LabelSet]:
        return self._whole.label_sets()

    def event(self, tick: int) -> Event:
        return self._whole.event(self.members.tick(tick))

    def value(self, tick: int) -> float:
        return self._whole.value(self.members.tick(tick))

    def values(self, ticks: range) -> list[float]:
        return [self.value(tick) for tick in ticks]

    def events(self, ticks: range) -> list[Event]:
        if not ticks:
            return []
        wanted = [self.members.tick(tick) for tick in ticks]
        span = range(wanted[0], wanted[-1] + 1)
        if len(span) > _DENSE * len(wanted):
            return [self._whole.event(tick) for tick in wanted]
        made = self._whole.events(span)
        return [made[tick - span.start] for tick in wanted]

    def stamps_ns(self, ticks: range) -> Sequence[int]:
        return [event.time_ns for event in self.events(ticks)]

    @cached_property
    def _whole(self) -> Entry:
        return replace(self.whole, now_ns=self.now_ns)


def shard_of(scenario: Scenario, shard: Shard) -> Scenario:
    """Return one shard of a plan, with the entries of which it has events: maybe with none."""
    entries: list[Entry] = []
    series = 0  # of the entries before
    for entry in scenario.entries:
        if entry.signal_type == "logs":
            members = Members(shard.count, (shard.index,))
        else:
            first = (shard.index - series) % shard.count
            members = Members(entry.turning, range(first, entry.turning, shard.count))
            series += entry.turning
        if members.places and ShardSchedule(entry.schedule, members).planned != 0:
            entries.append(_shard_entry(entry, members))
    return replace(scenario, entries=tuple(entries), shard=shard)


def _shard_entry(entry: Entry, members: Members) -> ShardEntry:
    schedule = ShardSchedule(entry.schedule, members)
    return ShardEntry(**{**entry.parts(), "schedule": schedule}, whole=entry, members=members)
