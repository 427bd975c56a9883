"""Many events of an entry as lines, without an object for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from returns.result import Failure, Result, Success

from sonda.pipeline.encoders import encode_each
from sonda.pipeline.model import EncodedEvent, Payload
from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.observations import Observed
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.values import Values

_LINES: Final = ("json_lines", "prometheus_text")
"""Encoders whose events are a line each, with no line feed inside."""
_WRITERS: Final = ("file", "stdout")
"""Sinks that write bytes as they come, whole or not at all as far as they can tell."""


def is_written_in_lines(entry: Entry) -> bool:
    """Return whether a group of the entry's events may be written as one piece."""
    route = entry.route
    is_plain = not entry.spikes and not isinstance(entry.content, Observed)
    return is_plain and route.encoder.name in _LINES and route.sink.name in _WRITERS


def as_one(entry: Entry, ticks: range) -> Result[EncodedEvent, Problem]:
    """Return the events of *ticks* as one piece, in the place of its first; see `is_written_in_lines`.

    The bytes are those of each event's own encoding, in their order.
    """
    order, plugin = entry.route.order(entry.event(ticks.start)), entry.route.encoder.plugin
    return lines(entry, ticks).map(
        lambda bodies: EncodedEvent(
            order,
            Payload(
                order.event,
                order.encoder.name,
                plugin.content_type,
                b"".join(bodies),
                plugin.packing,
            ),
        )
    )


def lines(entry: Entry, ticks: range) -> Result[Sequence[bytes], Problem]:
    """Return each event's line; fails as the encoder does."""
    stamps = entry.stamps_ns(ticks)
    values: Sequence[Any] = (
        entry.values(ticks) if isinstance(entry.content, Values) else entry.messages(ticks)
    )
    turning, encoder = min(entry.turning, len(ticks)), entry.route.encoder
    bodies = [b""] * len(ticks)
    for place in range(turning):  # a series has every one that is so far from another
        every = slice(place, None, entry.turning)
        event = entry.event(ticks[place])
        encoded = encode_each(encoder.plugin, event, values[every], stamps[every], encoder.options)
        if not isinstance(encoded, Success):
            return Failure(encoded.failure())
        bodies[every] = encoded.unwrap()
    return Success(bodies)
