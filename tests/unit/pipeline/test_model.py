"""The events of the library, and receipts: what construction reads and refuses, what answers hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sonda.pipeline.model import (
    UNTIMED,
    Ack,
    Confirmed,
    Log,
    Metric,
    Receipt,
    RecordMetadata,
)

NAIVE = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
NEEDS_ZONE = r"^timestamp: a datetime needs a time zone \(for example "


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("DEBUG", "debug"),
        ("INFO", "info"),
        ("WARNING", "warn"),
        ("WARN", "warn"),
        ("ERROR", "error"),
        ("CRITICAL", "fatal"),
        ("FATAL", "fatal"),
        ("trace", "trace"),
    ],
)
def test_python_level_names_are_read(level: Any, severity: str) -> None:
    """A log takes the level names of `logging` for the severities they stand for."""
    assert Log(message="x", severity=level).severity == severity


def test_naive_datetimes_are_refused_at_construction() -> None:
    """A datetime without a time zone names no instant: construction says so, and what to write."""
    with pytest.raises(ValueError, match=NEEDS_ZONE):
        Log(message="x", timestamp=NAIVE)
    with pytest.raises(ValueError, match=NEEDS_ZONE):
        Metric(name="m", value=1, timestamp=NAIVE)


def test_an_event_knows_its_signal_and_is_untimed_at_first() -> None:
    """The kind of an event is a fact of its class; its time is the pipeline's to read."""
    log, metric = Log(message="x"), Metric(name="m", value=1)
    assert (log.signal_type, metric.signal_type) == ("logs", "metrics")
    assert log.time_ns == metric.time_ns == UNTIMED
    assert (log.severity, log.labels, log.fields) == ("info", {}, {})


def _receipt(**more: Any) -> Receipt:
    facts: dict[str, Any] = {"signal_type": "logs", "confirmed": Confirmed.ACCEPTED, "time_ns": 1}
    return Receipt(**{**facts, "tries": 1, "latency_us": 1999, **more})


@pytest.mark.parametrize("warning", ["plain", "a \ud800 lone surrogate", "\udcff"])
def test_a_receipt_answers_whatever_its_warnings_hold(warning: str) -> None:
    """One line of JSON, in the contract's order; a lone surrogate reads back as it was."""
    answer = _receipt(warnings=(warning,)).answer()
    assert answer.endswith(b"}\n")
    assert list(json.loads(answer.decode()).items()) == [
        ("sent", True),
        ("signal_type", "logs"),
        ("latency_ms", 1),
        ("warnings", [warning]),
    ]


def test_a_receipt_has_all_facts_that_there_are() -> None:
    """What a destination did not say is left out; an offset that it has forgotten, too."""
    place = RecordMetadata("t", 0, None)
    answer = json.loads(_receipt(status=204, place=place).answer(with_receipt=True))
    assert answer["receipt"] == {
        "confirmed": "accepted",
        "timestamp": "1970-01-01T00:00:00.000000001Z",
        "tries": 1,
        "latency_us": 1999,
        "status": 204,
        "place": {"topic": "t", "partition": 0},
    }


def test_where_an_event_lies_in_its_file_is_no_part_of_a_receipt() -> None:
    """Two receipts that differ in it alone are equal, and so are two acknowledgements."""
    assert _receipt(offset=1) == _receipt(offset=2)
    assert hash(_receipt(offset=1)) == hash(_receipt(offset=2))
    assert _receipt(tries=2) != _receipt()
    assert Ack(Confirmed.STORED, offset=1) == Ack(Confirmed.STORED, offset=2)
    assert Ack(Confirmed.STORED) != Ack(Confirmed.ACCEPTED)
