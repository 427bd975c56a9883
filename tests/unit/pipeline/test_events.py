"""Events as a program writes them become the body that HTTP would carry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from returns.result import Failure

from sonda.pipeline import encoders
from sonda.pipeline.events import to_json
from sonda.pipeline.model import Log, Metric
from sonda.pipeline.problems import Invalid, ValidationIssue


def test_a_naive_datetime_in_a_mapping_is_an_invalid_timestamp() -> None:
    """A mapping's naive datetime is a wrong value, and no matter of JSON."""
    naive = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    reason = "a datetime needs a time zone (for example datetime.now(datetime.UTC))"
    issue = ValidationIssue("timestamp", reason)
    assert to_json({"timestamp": naive}) == Failure(Invalid((issue,)))


def test_an_offset_may_have_seconds() -> None:
    """RFC 3339 has no seconds in an offset, and Python's zones of long ago do."""
    zone = timezone(-timedelta(minutes=44, seconds=30))  # Monrovia's, until 1972
    event = {"timestamp": datetime(1971, 1, 1, tzinfo=zone)}
    assert json.loads(to_json(event).unwrap())["timestamp"] == "1971-01-01T00:44:30+00:00"
    first = {"timestamp": datetime.min.replace(tzinfo=timezone(timedelta(seconds=1)))}
    assert json.loads(to_json(first).unwrap())["timestamp"] == "0001-01-01T00:00:00+00:00:01"


def test_an_event_that_has_its_time_keeps_it() -> None:
    """An event whose time is known already is sent with that time."""
    event = Log(message="x", encoder=encoders.JsonLines(), time_ns=1_700_000_000_000_000_001)
    assert json.loads(to_json(event).unwrap()) == {
        "signal_type": "logs",
        "labels": {},
        "log": {"severity": "info", "message": "x", "fields": {}},
        "encoder": {"type": "json_lines"},
        "timestamp": "2023-11-14T22:13:20.000000001Z",
    }


def test_an_encoder_may_be_missing() -> None:
    """What is not given is left out: a default may fill it in, or validation names it."""
    assert json.loads(to_json(Metric(name="m", value=1)).unwrap()) == {
        "signal_type": "metrics",
        "labels": {},
        "metric": {"name": "m", "value": 1},
    }
