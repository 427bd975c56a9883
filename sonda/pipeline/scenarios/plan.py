"""A compiled scenario: frozen, pure, and able to make any of its events at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from heapq import merge
from math import lcm
from typing import Any, Final, Literal, TypeAlias

from sonda.pipeline.model import (
    Event,
    Log,
    Metric,
    NamedDestination,
    PluginRef,
    Signal,
    ValidatedEvent,
)
from sonda.pipeline.samples import samples
from sonda.pipeline.scenarios.log_generators import Messages
from sonda.pipeline.scenarios.metadata import MetricMetadata
from sonda.pipeline.scenarios.numbers import ceil_ns
from sonda.pipeline.scenarios.observations import Head, Observed
from sonda.pipeline.scenarios.spikes import Spikes, count_series, spiked_sets
from sonda.pipeline.scenarios.states import Shard
from sonda.pipeline.scenarios.timing import Timing
from sonda.pipeline.scenarios.values import Values
from sonda.pipeline.values.timestamps import LATEST_NS, rfc3339

_CHUNK: Final = 256
_MOST_CACHED: Final = 10_000  # label sets: as many as a document may have series

LabelSet: TypeAlias = Mapping[str, str]
Heads: TypeAlias = dict[frozenset[tuple[str, str]], list[Metric]]
"""The names and labels of the samples of events, by the labels of these."""
Pace: TypeAlias = Literal["real", "max"]
OnSinkError: TypeAlias = Literal["warn", "fail"]


@dataclass(frozen=True, slots=True)
class DynamicLabel:
    """A label whose value turns: that of tick k is number k mod n."""

    key: str
    count: int
    values: tuple[str, ...] = ()
    prefix: str = ""

    def value(self, tick: int) -> str:
        place = tick % self.count
        return self.values[place] if self.values else f"{self.prefix}{place}"


@dataclass(frozen=True)
class Labels:
    """The labels of an entry's events, tick by tick; they turn together."""

    fixed: LabelSet
    dynamic: tuple[DynamicLabel, ...] = ()

    @cached_property
    def count(self) -> int:
        """How many different label sets there are."""
        return lcm(*(label.count for label in self.dynamic))

    def at(self, tick: int) -> LabelSet:
        return self._sets[tick % self.count] if self.count <= _MOST_CACHED else self._made(tick)

    @cached_property
    def _sets(self) -> tuple[LabelSet, ...]:
        return tuple(map(self._made, range(self.count)))

    def _made(self, tick: int) -> LabelSet:
        if not self.dynamic:
            return self.fixed
        return {**self.fixed, **{label.key: label.value(tick) for label in self.dynamic}}

    def over(self, ticks: range) -> list[LabelSet]:
        sets, count = self._sets, self.count
        if count == 1:
            return [sets[0]] * len(ticks)
        return [sets[tick % count] for tick in ticks]


Content: TypeAlias = Values | Observed | Messages
"""What an entry's events say."""


@dataclass(frozen=True, slots=True)
class Start:
    """When stamps begin: at an instant, or so long from the run's own start."""

    time_ns: int
    from_now: bool

    def resolve(self, now_ns: int) -> int:
        return self.time_ns + now_ns if self.from_now else self.time_ns


@dataclass(frozen=True, slots=True)
class Route:
    """How events are rendered and where they go: as written, and as the pipeline has read it.

    *named* is the operator's destination, where the entry asks for one by its name; *place* is where
    the document says so.
    """

    encoder: PluginRef
    sink: PluginRef
    named: NamedDestination | None = None
    encoder_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sink_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    place: str = ""

    def validated_event(self, event: Event) -> ValidatedEvent:
        """Return *event* as one that has been validated, to be delivered by this route."""
        return ValidatedEvent(event, self.encoder, self.sink, destination=self.named)


@dataclass(frozen=True)
class Entry:
    """One stream of events."""

    id: str
    name: str
    signal_type: Signal
    schedule: Timing
    phase: Fraction
    start: Start
    pace: Pace
    max_lag: Fraction | None
    labels: Labels
    content: Content
    route: Route
    on_sink_error: OnSinkError = "warn"
    rewritten: Mapping[str, Any] | None = None
    now_ns: int = 0
    spikes: Spikes = ()
    metadata: MetricMetadata | None = None
    after: str | None = None
    """The id of the entry that it waits for; its phase says how long."""

    def parts(self) -> dict[str, Any]:
        """Return what an entry is made of, by field, without what a kind of entry adds to it."""
        return {of.name: getattr(self, of.name) for of in fields(Entry)}

    @property
    def planned(self) -> int | None:
        """How many events there are; `None` without an end."""
        return self.schedule.planned

    @property
    def turning(self) -> int:
        """How many series take turns: what is always there of the label sets."""
        return self.labels.count

    @property
    def series(self) -> int:
        """How many label sets the entry may have, and so how many series or streams."""
        return self.width * count_series(self.spikes, self.labels.count, _MOST_CACHED)

    @property
    def width(self) -> int:
        """How many series an event has samples of."""
        return self.content.width if isinstance(self.content, Observed) else 1

    def label_sets(self) -> Iterator[LabelSet]:
        """Yield the label sets of all its series."""
        for there, cycle in spiked_sets(self.spikes, self.labels.count):
            for tick in range(cycle):
                yield {
                    **self.labels.at(tick),
                    **{spike.label: spike.value(tick) for spike in there},
                }

    def identities(self) -> Iterator[tuple[str, LabelSet]]:
        """Yield the name and the labels of all its series."""
        for labels in self.label_sets():
            if isinstance(self.content, Observed):
                for one in samples(self.content.empty(self.name, labels)):
                    yield one.name, one.labels
            else:
                yield self.name, labels

    @cached_property
    def start_ns(self) -> int:
        """The stamp of an event that is due at 0."""
        return self.start.resolve(self.now_ns) + ceil_ns(self.phase)

    @property
    def ends_at(self) -> Fraction | None:
        """When the entry ends, in seconds from the run's start: by `duration`, or with its last tick."""
        schedule = self.schedule
        if schedule.duration is not None:
            return self.phase + schedule.duration
        return None if schedule.planned is None else self.phase + schedule.due(schedule.planned - 1)

    @cached_property
    def sample_heads(self) -> Heads:
        """The samples of its histograms or summaries that were encoded: the same at each tick."""
        return {}

    def stamps_ns(self, ticks: range) -> Sequence[int]:
        """Return the stamps of a range of ticks."""
        pieces = list(self.schedule.progressions(ticks))
        if len(pieces) == 1:
            return pieces[0].stamps_ns(self.start_ns)
        return [stamp for piece in pieces for stamp in piece.stamps_ns(self.start_ns)]

    def event(self, tick: int) -> Event:
        """Return the event of one tick."""
        x = self.schedule.due(tick)
        return self.event_at(tick, x, self.start_ns + ceil_ns(x))

    def event_at(self, tick: int, x: Fraction, time_ns: int) -> Event:
        """Return the event of one tick, which is due at *x* and has the stamp *time_ns*."""
        labels = self.labels.at(tick)
        if self.spikes:
            there = {one.label: one.value(tick) for one in self.spikes if one.is_there(x)}
            labels = {**labels, **there}
        if isinstance(self.content, Values):
            value = self.content.at(tick, x)
            return Metric(name=self.name, value=value, labels=labels, time_ns=time_ns)
        if isinstance(self.content, Observed):
            head = Head(tick, self.name, labels, self.start_ns, time_ns)
            return self.content.event(head, x, self.schedule)
        severity, message, fields = self.content.at(tick, time_ns)
        return Log(
            severity=severity, message=message, fields=fields, labels=labels, time_ns=time_ns
        )

    def value(self, tick: int) -> float:
        """Return a metric's value at one tick."""
        assert isinstance(self.content, Values)  # noqa: S101  # a metric's content
        return self.content.at(tick, self.schedule.due(tick))

    def values(self, ticks: range) -> list[float]:
        """Return the values of a metric's range of ticks."""
        assert isinstance(self.content, Values)  # noqa: S101  # a metric's content
        return [v for x in self.schedule.progressions(ticks) for v in self.content.over(x)]

    def events(self, ticks: range) -> list[Event]:
        """Return the events of a range of ticks, equal to those of `event`."""
        if isinstance(self.content, Observed):
            return [self.event(tick) for tick in ticks]
        stamps, labels = self.stamps_ns(ticks), self._labels_over(ticks)
        if isinstance(self.content, Values):
            return [
                Metric(name=self.name, value=value, labels=of, time_ns=time_ns)
                for value, of, time_ns in zip(self.values(ticks), labels, stamps, strict=True)
            ]
        return [
            Log(severity=severity, message=message, fields=fields, labels=of, time_ns=time_ns)
            for (severity, message, fields), of, time_ns in zip(
                self.content.over(ticks, stamps), labels, stamps, strict=True
            )
        ]

    def _labels_over(self, ticks: range) -> list[LabelSet]:
        labels = self.labels.over(ticks)
        for spike in self.spikes:
            pieces = self.schedule.progressions(ticks)
            there = [one for piece in pieces for one in spike.presence(piece)]
            labels = [
                {**of, spike.label: spike.value(tick)} if present else of
                for of, tick, present in zip(labels, ticks, there, strict=True)
            ]
        return labels

    def has(self, tick: int) -> bool:
        """Return whether there is such a tick; without an end, as long as its stamp can be written."""
        if tick < 0 or self.planned is not None:
            return 0 <= tick < (self.planned or 0)
        return self.start_ns + ceil_ns(self.schedule.due(tick)) <= LATEST_NS


@dataclass(frozen=True)
class Scenario:
    """A compiled plan. Its events are a pure function of the document, its seed and its start."""

    name: str
    seed: int
    entries: tuple[Entry, ...]
    document: Mapping[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    shard: Shard | None = None
    """Which part of a larger plan it is."""

    @property
    def planned(self) -> int | None:
        """How many events there are; `None` without an end."""
        counts = [entry.planned for entry in self.entries]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def starting(self, now_ns: int) -> Scenario:
        """Return the same plan with another `now`."""
        entries = tuple(replace(entry, now_ns=now_ns) for entry in self.entries)
        return replace(self, entries=entries)

    def entry(self, entry_id: str) -> Entry:
        """Return one entry; raises `KeyError` if there is none of this id."""
        for entry in self.entries:
            if entry.id == entry_id:
                return entry
        raise KeyError(entry_id)

    def event(self, entry: str, tick: int) -> Event:
        """Return one event; raises `KeyError` for an unknown entry, `IndexError` for no such tick."""
        found = self.entry(entry)
        if not found.has(tick):
            raise IndexError(f"entry {entry!r} has no tick {tick}")
        return public(found.event(tick), found)

    def events(self) -> Iterator[Event]:
        """Yield all events in the order in which they are due; without an end, for ever."""
        for _, _, entry, event in self.ordered():
            yield public(event, entry)

    def ordered(self) -> Iterator[tuple[Fraction, int, Entry, Event]]:
        """Yield when each event is due, its tick, its entry and itself, in that order."""
        streams = [self._stream(place, entry) for place, entry in enumerate(self.entries)]
        for due, _, tick, entry, event in merge(*streams, key=lambda item: item[:3]):
            yield due, tick, entry, event

    @staticmethod
    def _stream(place: int, entry: Entry) -> Iterator[tuple[Fraction, int, int, Entry, Event]]:
        size, first = 1, 0  # chunks that grow: the first events come at once
        while entry.planned is None or first < entry.planned:
            stop = first + size
            ticks = range(first, stop if entry.planned is None else min(stop, entry.planned))
            for tick, event in zip(ticks, entry.events(ticks), strict=True):
                yield entry.phase + entry.schedule.due(tick), place, tick, entry, event
            first, size = ticks.stop, min(2 * size, _CHUNK)


def public(event: Event, entry: Entry) -> Event:
    """Return an event as the library hands it out: with its encoder and sink, as they are written."""
    from msgspec.structs import replace as with_fields

    route = entry.route
    return with_fields(
        event,
        timestamp=rfc3339(event.time_ns),
        encoder=dict(route.encoder_options),
        sink=dict(route.sink_options),
    )
