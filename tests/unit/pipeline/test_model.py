"""The events of the library: what construction reads, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from returns.primitives.exceptions import ImmutableStateError
from returns.result import Success

from sonda.pipeline.model import UNTIMED, Log, Metric, success

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


def test_a_success_that_is_made_fast() -> None:
    """It is what its class makes, to all who look."""
    made, plain = success([1]), Success([1])
    assert type(made) is Success
    assert made == plain
    assert (repr(made), made.unwrap(), made.value_or(2)) == (repr(plain), [1], [1])
    assert made.map(len).bind(success) == Success(1)
    assert copy.copy(made) is made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  # our own
    with pytest.raises(ImmutableStateError):
        made.value = 1
