"""Pieces: many events of a scenario that a sink is handed as one payload, with one verdict.

A sink says whether it takes them (`Sink.pieces`); any other is handed each event alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from sonda.pipeline.model import Event


class Format(NamedTuple):
    """What a sink has to know of an encoder: its content type, and whether an event is one line."""

    content_type: str
    lines: bool


class Stream(NamedTuple):
    """The events of one label set in a piece: one of them, and their times and joined bytes."""

    event: Event
    times_ns: Sequence[int]
    body: bytes


class Pieces(Struct, frozen=True, kw_only=True):
    """What one piece may hold: the most events, their bytes, and different streams among them.

    *join* writes its body from its streams; without it the body is the events' lines as they follow
    one another, with the time of each where a sink wants them *timed*. Of a sink that wants them
    *ascending*, a piece leaves after the verdict on the one before, and no stream has two events in a
    millisecond.
    """

    events: int | None = None
    size_bytes: int | None = None
    streams: int | None = None
    join: Callable[[Sequence[Stream]], bytes] | None = None
    ascending: bool = False
    timed: bool = False


def pieces_of_requests(events: int, size_bytes: int) -> Pieces:
    """Return how events share a request of a format whose requests may be joined."""
    return Pieces(
        events=events,
        size_bytes=size_bytes,
        join=lambda streams: b"".join([stream.body for stream in streams]),
    )


TakesPieces: TypeAlias = Callable[[Any, Format], Pieces | None]
"""Returns how a sink with these options takes pieces of a format, if it does."""


def no_pieces(_options: object, _format: Format) -> None:
    """Return nothing: such a sink is handed each event alone."""


def pieces_of_lines(_options: object, written: Format) -> Pieces | None:
    """Return how a sink takes pieces that can write any number of lines at once."""
    return Pieces() if written.lines else None
