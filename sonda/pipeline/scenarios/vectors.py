"""Many events of an entry as vectors: of each series one event, and values and stamps of them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.encoders import LogValue, LogValues
from sonda.pipeline.model import Event, Log, Metric
from sonda.pipeline.samples import samples, values_of
from sonda.pipeline.scenarios.observations import Observed
from sonda.pipeline.scenarios.plan import Entry, Heads
from sonda.pipeline.scenarios.schedule import Progression
from sonda.pipeline.scenarios.series import FleetEntry
from sonda.pipeline.scenarios.values import Values


class Vector(NamedTuple):
    """The events of one series among those of a range of ticks.

    They differ from *event* in their values and times. *places* is where they are, a slice or indices.
    """

    event: Event
    values: Sequence[Any]
    times_ns: Sequence[int]
    places: Any


def vectors(entry: Entry, ticks: range) -> list[Vector]:
    """Return the events of *ticks*, whose step is 1, by series, in the order in which these begin.

    They are those of `Entry.events`; those of histograms and summaries are `of_samples`.
    """
    found: list[Vector] = []
    if isinstance(entry, FleetEntry):
        if not entry.spikes:
            found = sorted(_of_fleet(entry, ticks), key=lambda one: one.places.start)
    elif type(entry) is Entry and not entry.spikes:
        found = list(_turning(entry, _times(entry, ticks)))
    if len({_key(one.event) for one in found}) == len(found) > 0:
        return found
    return _grouped(entry.events(ticks))  # also where a label has a value twice


def _key(event: Event) -> frozenset[tuple[str, str]]:
    """Return what tells one series of an entry from another."""
    return frozenset(event.labels.items())


class _Times(NamedTuple):
    """When ticks are due, and their stamps: every series of a fleet has the same."""

    ticks: range
    stretches: Sequence[Progression]
    stamps_ns: Sequence[int]


def _times(entry: Entry, ticks: range) -> _Times:
    return _Times(ticks, list(entry.schedule.progressions(ticks)), entry.stamps_ns(ticks))


def _turning(entry: Entry, times: _Times) -> Iterator[Vector]:
    """Yield the vectors of series that take turns tick by tick."""
    ticks, stretches, times_ns = times
    content = entry.content
    assert not isinstance(content, Observed)  # noqa: S101  # it goes alone
    values: Sequence[Any]
    if not isinstance(content, Values):
        values = content.over(ticks, times_ns)
    elif len(stretches) == 1:
        values = content.over(stretches[0])
    else:
        values = [value for stretch in stretches for value in content.over(stretch)]
    turning = entry.turning
    if turning == 1:
        first = _event(entry, ticks.start, values[0], times_ns[0])
        yield Vector(first, values, times_ns, slice(0, None, 1))
        return
    for place in range(min(turning, len(ticks))):
        every = slice(place, None, turning)
        own = values[every]
        first = _event(entry, ticks[place], own[0], times_ns[place])
        yield Vector(first, own, times_ns[every], every)


def _event(entry: Entry, tick: int, value: float | LogValue, time_ns: int) -> Event:
    """Return the event of *tick*, whose value and stamp are known."""
    labels = entry.labels.at(tick)
    if isinstance(value, LogValue):
        return Log(**value._asdict(), labels=labels, time_ns=time_ns)
    return Metric(name=entry.name, value=value, labels=labels, time_ns=time_ns)


def _of_fleet(entry: FleetEntry, ticks: range) -> Iterator[Vector]:
    """Yield the vectors of each series of a fleet, whose ticks are turns."""
    count = len(entry.own_labels)
    known: dict[range, _Times] = {}  # at most two: some series may have a turn more
    for first in range(min(count, len(ticks))):
        turn, place = divmod(ticks.start + first, count)
        turns = range(turn, -((place - ticks.stop) // count))
        own = entry.one(place)
        if turns not in known:
            known[turns] = _times(own, turns)
        for event, values, times_ns, every in _turning(own, known[turns]):
            places = slice(first + every.start * count, None, every.step * count)
            yield Vector(event, values, times_ns, places)


def _grouped(events: Sequence[Event]) -> list[Vector]:
    """Return the vectors of events that have been made one by one."""
    return [
        Vector(
            events[of[0]],
            _values([events[place] for place in of]),
            [events[place].time_ns for place in of],
            of,
        )
        for of in _places(events).values()
    ]


def _places(events: Sequence[Event]) -> dict[frozenset[tuple[str, str]], list[int]]:
    """Return where the events of each series are."""
    places: dict[frozenset[tuple[str, str]], list[int]] = {}
    for place, event in enumerate(events):
        places.setdefault(_key(event), []).append(place)
    return places


def of_samples(events: Sequence[Histogram | Summary], heads: Heads) -> list[Vector]:
    """Return the vectors of the samples that histograms or summaries of an entry consist of.

    Each event has as many, one after the other. *heads* is the entry's own, and is added to.
    """
    found: list[Vector] = []
    for key, of in _places(events).items():
        first = heads.get(key)
        if first is None:
            first = heads[key] = samples(events[of[0]])
        rows = [values_of(events[place]) for place in of]
        times_ns = [events[place].time_ns for place in of]
        for column, sample in enumerate(first):
            places = [place * len(first) + column for place in of]
            found.append(Vector(sample, [row[column] for row in rows], times_ns, places))
    return found


def _values(events: Sequence[Event]) -> list[float] | LogValues:
    """Return what each event has for itself; histograms and summaries go alone."""
    logs = [one for one in events if isinstance(one, Log)]
    if logs:
        return LogValues.of(LogValue(one.severity, one.message, one.fields) for one in logs)
    return [one.value for one in events if isinstance(one, Metric)]
