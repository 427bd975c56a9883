"""How events are framed, and which of them a write that has failed has delivered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from returns.result import Failure, Success

from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net.batch import Batch
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.problems import OutcomeUnknown, Unreachable
from sonda.pipeline.sinks.tcp import SINK, Tcp, _with_length, _Writing, describe
from tests.support.events import record

ADDRESS = "127.0.0.1:1"
YES: Outcome = Success(Ack(Confirmed.HANDED_OFF))
TORN: Outcome = Failure(AttemptFailure(OutcomeUnknown("t", "r", 0)))
UNTOUCHED: Outcome = Failure(AttemptFailure(Unreachable("s", "r")))
OCTETS = Tcp(address=ADDRESS, framing="octet_counting")


def payload(body: bytes) -> Payload:
    return Payload(record(), "syslog", "text/plain", body)


def batch_of(*bodies: bytes) -> Any:
    """Return as much of a batch as a write reads: its payloads, and how many bytes have left."""
    payloads = [payload(body) for body in bodies]
    attempt = SimpleNamespace(sent_bytes=0)
    return SimpleNamespace(events=payloads, attempt=attempt, freeze=lambda: payloads)


@pytest.mark.parametrize(
    ("body", "frame"),
    [(b"abc\n", b"3 abc"), (b"abc", b"3 abc"), (b"\n", b"0 "), ("é\n".encode(), b"2 \xc3\xa9")],
)
def test_octets_are_counted(body: bytes, frame: bytes) -> None:
    """Not characters; the last line feed is no part of the message (RFC 6587, 3.4.1)."""
    assert _with_length(body) == frame


@pytest.mark.parametrize(
    ("options", "frames"),
    [(Tcp(address=ADDRESS), [b"a\n", b"bc\n"]), (OCTETS, [b"1 a", b"2 bc"])],
)
def test_each_event_is_a_frame(options: Tcp, frames: list[bytes]) -> None:
    """By the framing that the options name; what a dry run shows is one of them."""
    writing = _Writing(cast("Batch", batch_of(b"a\n", b"bc\n")), options)
    assert writing.frames() == frames
    shown = describe(payload(b"a\n"), options, Network()).unwrap()
    assert shown.body == frames[0]


@pytest.mark.parametrize(
    ("sent_bytes", "expected"),
    [
        (0, [UNTOUCHED, UNTOUCHED, UNTOUCHED]),
        (1, [TORN, UNTOUCHED, UNTOUCHED]),
        (2, [YES, UNTOUCHED, UNTOUCHED]),
        (3, [YES, TORN, UNTOUCHED]),
        (5, [YES, YES, UNTOUCHED]),
        (9, [YES, YES, YES]),
    ],
)
def test_a_failed_write_is_judged_by_its_bytes(sent_bytes: int, expected: list[Outcome]) -> None:
    """What left whole was handed off, what left in part is unknown, and the rest never left."""
    batch = batch_of(b"a\n", b"bc\n", b"def\n")
    writing = _Writing(cast("Batch", batch), Tcp(address=ADDRESS))
    writing.frames()
    batch.attempt.sent_bytes = sent_bytes
    assert list(writing.judge(YES, TORN, UNTOUCHED)) == expected


def test_a_write_without_a_connection_has_touched_nothing() -> None:
    """There are no frames yet: every event has the same verdict."""
    writing = _Writing(cast("Batch", batch_of(b"a\n", b"b\n")), Tcp(address=ADDRESS))
    assert list(writing.judge(YES, TORN, UNTOUCHED)) == [UNTOUCHED, UNTOUCHED]


def test_a_line_feed_ends_a_frame_unless_octets_are_counted() -> None:
    """Where it does, none may stand inside an event."""
    assert SINK.ends_with_lf(Tcp(address=ADDRESS))
    assert not SINK.ends_with_lf(OCTETS)
