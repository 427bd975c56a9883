"""A record is verified byte for byte, at the offset that was acknowledged."""

from __future__ import annotations

from dataclasses import replace

from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused
from sonda.pipeline.verify.kafka import StoredRecord, judge

SENT = StoredRecord(b"k", b"v", 1_700_000_000_123, (("h", b"1"),))


def test_the_record_is_seen() -> None:
    """Key, value, time and headers are equal."""
    assert judge(replace(SENT), SENT) is SEEN


def test_what_differs_is_named() -> None:
    """The value first, then the time, then the rest."""
    assert judge(replace(SENT, value=b"w", timestamp_ms=0), SENT) == Different("v", "w", "offset")
    assert judge(replace(SENT, value=None), SENT) == Different("v", "no value", "offset")
    times = Different("timestamp 1700000000123 ms", "timestamp 0 ms", "offset")
    assert judge(replace(SENT, timestamp_ms=0), SENT) == times
    assert isinstance(judge(replace(SENT, key=None), SENT), Different)
    assert isinstance(judge(replace(SENT, headers=()), SENT), Different)


def test_what_is_not_there_is_not_seen() -> None:
    """No record at the offset yet, or a broker that refuses to hand it out."""
    refused = QueryRefused("TopicAuthorizationFailed", is_final=True)
    assert judge(None, SENT) == NOT_SEEN
    assert judge(refused, SENT) is refused
