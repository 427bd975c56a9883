"""How a sink says that it takes many events at once."""

from __future__ import annotations

from sonda.pipeline.pieces import Format, Stream, pieces_of_lines, pieces_of_requests
from tests.support.events import sample


def test_requests_are_joined_in_their_order() -> None:
    """Their bytes follow one another."""
    pieces = pieces_of_requests(10, 2_000)
    assert (pieces.events, pieces.size_bytes, pieces.streams, pieces.ascending) == (
        10,
        2_000,
        None,
        False,
    )
    assert pieces.join is not None
    assert pieces.join([Stream(sample(), (1, 2), body) for body in (b"a", b"bc")]) == b"abc"


def test_lines_are_taken_by_what_writes_lines() -> None:
    """A format whose events are no lines is handed over event by event."""
    pieces = pieces_of_lines(None, Format("text/plain", lines=True))
    assert pieces is not None
    assert pieces.join is None
    assert pieces_of_lines(None, Format("application/x-protobuf", lines=False)) is None
