"""Many events of one series, and events of many samples, as any encoder writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline import encoders
from sonda.pipeline.aggregates import Summary
from sonda.pipeline.encoders import (
    Encoder,
    Joined,
    LogValue,
    LogValues,
    encode_aggregate,
    encode_series,
)
from sonda.pipeline.model import Log, Metric
from sonda.pipeline.problems import Invalid, Problem, ValidationIssue
from tests.support.events import record, sample

REFUSED = Invalid((ValidationIssue("metric.value", "too high"),))


def _encode(event: Log | Metric, _options: None) -> Result[bytes, Problem]:
    if isinstance(event, Log):
        return Success(f"{event.severity} {event.message} {dict(event.fields)};".encode())
    if event.value > 9:
        return Failure(REFUSED)
    return Success(f"{event.name} {event.value:g} {event.time_ns};".encode())


PLAIN: Encoder[Any, Any] = Encoder(type(None), "text/plain", _encode)
"""An encoder that has nothing of its own for many events."""


def test_a_series_is_its_events_one_after_the_other() -> None:
    """Each has its own value and time, and all else of the series."""
    assert encode_series(PLAIN, sample(name="m"), [1.0, 2.0], [3, 4], None) == Success(
        Joined(b"m 1 3;m 2 4;", 12)
    )


def test_a_series_of_logs() -> None:
    """Severity, message and fields are each event's own."""
    values = LogValues(["warn", "info"], ["a", "b"], [{"k": "v"}, {}])
    found = encode_series(PLAIN, record(), values, [1, 2], None).unwrap()
    assert found.body == b"warn a {'k': 'v'};info b {};"


def test_the_first_event_that_fails_is_the_series_problem() -> None:
    """Nothing is written of a series one of whose events cannot be."""
    assert encode_series(PLAIN, sample(), [1.0, 10.0, 2.0], [1, 2, 3], None) == Failure(REFUSED)


def test_as_many_times_as_values() -> None:
    """A time too few is a bug, not an event less."""
    with pytest.raises(ValueError, match="shorter"):
        encode_series(PLAIN, sample(), [1.0, 2.0], [1], None)


def summary(*values: float, labels: Mapping[str, str]) -> Summary:
    return Summary(
        name="s",
        quantiles=[0.5, 0.9],
        values=list(values),
        count=2,
        total=3.0,
        since_ns=0,
        time_ns=7,
        labels=labels,
    )


def test_an_aggregate_is_its_samples() -> None:
    """Where the format has none of its own; one sample that fails fails them all."""
    assert encode_aggregate(PLAIN, summary(1.0, 2.0, labels={}), None) == Success(
        b"s 1 7;s 2 7;s_sum 3 7;s_count 2 7;"
    )
    assert encode_aggregate(PLAIN, summary(1.0, 99.0, labels={}), None) == Failure(REFUSED)


def test_columns_of_logs_are_a_sequence() -> None:
    """They are read by place, by slice and in order, as if each value had been made."""
    rows = [LogValue("info", "a", {}), LogValue("warn", "b", {"k": "v"}), LogValue("info", "c", {})]
    columns = LogValues.of(iter(rows))
    assert (list(columns), len(columns), columns[-1]) == (rows, 3, rows[-1])
    assert list(columns[1:]) == rows[1:]
    assert isinstance(columns[1:], LogValues)


def test_options_are_found_by_name() -> None:
    """`encoders.JsonLines` is the class of `json_lines`; what is none is no attribute."""
    assert encoders.JsonLines is encoders.load("json_lines").options
    with pytest.raises(AttributeError):
        encoders.Nonsense  # noqa: B018
