"""Many events of an entry as a few payloads, without an object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import lt
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace
from returns.result import Success

from sonda.pipeline.encoders import Joined, encode_series
from sonda.pipeline.model import EncodedEvent, Event, Payload
from sonda.pipeline.pieces import Format, Pieces, Stream
from sonda.pipeline.scenarios.observations import Observed
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.vectors import Vector, of_samples, vectors
from sonda.pipeline.values.timestamps import NS_PER_MS

if TYPE_CHECKING:
    from sonda.pipeline.aggregates import Histogram, Summary


@dataclass(frozen=True, slots=True)
class Piece:
    """Events of neighbouring ticks as one payload.

    They are *count*, and *size_bytes* when each is encoded alone.
    """

    encoded: EncodedEvent
    count: int
    size_bytes: int


def how_pieces_go(entry: Entry) -> Pieces | None:
    """Return how the entry's sink takes pieces, if it does.

    A histogram or a summary that is written as one, or with streams, goes alone.
    """
    route = entry.route
    encoder = route.encoder.plugin
    written = Format(encoder.content_type, encoder.lines)
    takes: Pieces | None = route.sink.plugin.pieces(route.sink.options, written)
    if takes is None or not isinstance(entry.content, Observed):
        return takes
    if encoder.encode_aggregate is not None or takes.streams is not None:
        return None
    events = takes.events and max(1, takes.events // entry.width)
    return replace(takes, events=events)


def pieces(entry: Entry, ticks: range, takes: Pieces) -> Sequence[Piece]:
    """Return the events of *ticks* in pieces; none where each event has to go alone.

    That is where one cannot be encoded, or where the sink's limits do not let them go together.
    """
    most = takes.events or len(ticks)
    if takes.streams is not None and entry.turning > takes.streams:
        most = min(most, takes.streams)
    made: list[Piece] = []
    for start in range(0, len(ticks), most):
        part = list(_pieces(entry, ticks[start : start + most], takes))
        if not part:
            return ()
        made += part
    return made


def _pieces(entry: Entry, ticks: range, takes: Pieces) -> Iterator[Piece]:
    found, first = _vectors(entry, ticks)
    if takes.ascending and not all(map(_ascends, found)):
        return
    encoder = entry.route.encoder
    encoded: list[Joined] = []
    for one in found:
        made = encode_series(encoder.plugin, one.event, one.values, one.times_ns, encoder.options)
        if not isinstance(made, Success):
            return
        encoded.append(made.unwrap())
    if takes.join is None:
        lines = _in_order(found, [one.body for one in encoded])
        yield from _pieces_of_lines(entry, first, ticks, lines, takes)
        return
    streams = [
        Stream(one.event, one.times_ns, own.body) for one, own in zip(found, encoded, strict=True)
    ]
    # One event of one series is no piece: the sink joins it with others by itself.
    is_one = len(ticks) == len(encoded) == 1
    body = encoded[0].body if is_one else takes.join(streams)
    if takes.size_bytes is None or len(body) <= takes.size_bytes:
        size_bytes = sum(one.size_bytes for one in encoded)
        yield _piece(entry, first, body, len(ticks), size_bytes)


def _vectors(entry: Entry, ticks: range) -> tuple[Sequence[Vector], Event]:
    """Return what is to be encoded of the events of *ticks*, and the first of these."""
    if isinstance(entry.content, Observed):
        events = cast("list[Histogram | Summary]", entry.events(ticks))
        return of_samples(events, entry.sample_heads), events[0]
    found = vectors(entry, ticks)
    return found, found[0].event


def _pieces_of_lines(
    entry: Entry, first: Event, ticks: range, lines: bytes, takes: Pieces
) -> Iterator[Piece]:
    place, per_event = 0, lines.count(b"\n") // len(ticks)
    times_ns = entry.stamps_ns(ticks) if takes.timed else ()
    for part in _cut(lines, takes.size_bytes, per_event):
        count = part.count(b"\n") // per_event
        event = entry.event(ticks[place]) if place else first
        yield _piece(entry, event, part, count, len(part), times_ns[place : place + count])
        place += count


def _ascends(one: Vector) -> bool:
    """Return whether each event of a series is in a later millisecond than the one before."""
    times_ms = [time_ns // NS_PER_MS for time_ns in one.times_ns]
    return all(map(lt, times_ms, times_ms[1:]))


def _in_order(found: Sequence[Vector], bodies: Sequence[bytes]) -> bytes:
    """Return the lines of all series as their events follow one another."""
    count = sum(len(one.times_ns) for one in found)
    if len(found) in (1, count):  # of each series one event: they follow one another as they are
        return b"".join(bodies)
    lines = [b""] * count
    for one, body in zip(found, bodies, strict=True):
        own = body.split(b"\n")[:-1]
        if isinstance(one.places, slice):
            lines[one.places] = own
        else:
            for place, line in zip(one.places, own, strict=True):
                lines[place] = line
    return b"\n".join(lines) + b"\n"


def _cut(lines: bytes, size_bytes: int | None, per_event: int) -> Iterator[bytes]:
    """Yield lines in pieces of whole events, of at most *size_bytes*; a longer event is one alone."""
    if size_bytes is None:
        yield lines
        return
    start = 0
    while start < len(lines):
        stop = start + size_bytes
        if stop < len(lines):
            count = lines.count(b"\n", start, stop)
            for _ in range(count % per_event + 1 if count >= per_event else 0):
                stop = lines.rfind(b"\n", start, stop)
            for _ in range(max(0, per_event - count)):
                stop = lines.find(b"\n", stop) + 1
            stop += count >= per_event
        yield lines[start:stop]
        start = stop


def _piece(
    entry: Entry,
    first: Event,
    body: bytes,
    count: int,
    size_bytes: int,
    times_ns: Sequence[int] = (),
) -> Piece:
    validated = entry.route.validated_event(first)
    name, encoder = validated.encoder.name, validated.encoder.plugin
    payload = Payload(first, name, encoder.content_type, body, encoder.packing, count, times_ns)
    return Piece(EncodedEvent(validated, payload), count, size_bytes)
