"""Many events of one series are the bytes that each would be alone, or the same to a receiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Failure, Success

from sonda.pipeline.encoders import Encoder, LogValue, LogValues, encode_series, joined, load
from sonda.pipeline.model import Event, Log, Metric
from tests.property.strategies import (
    precisions,
    records,
    samples,
    times_ns,
    unhurried,
    values,
)
from tests.support.extras import is_usable

# Those of lines: `otlp` and `remote_write` put many into one message, and are tested as such.
ENCODERS = ["prometheus_text", "influx_lp", "json_lines"]
LOG_ENCODERS = ["json_lines", "syslog"]


def same(
    encoder: Encoder[Any, Any], events: list[Event], many: Sequence[Any], options: Any
) -> bool:
    """Compare the bytes of many with those of each."""
    times = [event.time_ns for event in events]
    together = encode_series(encoder, events[0], many, times, options)
    alone = [encoder.encode(event, options) for event in events]
    if not all(isinstance(one, Success) for one in alone):
        return together == Failure(next(one.failure() for one in alone if isinstance(one, Failure)))
    return together == Success(joined(b"".join([one.unwrap() for one in alone])))


@pytest.mark.parametrize("name", ENCODERS)
@unhurried
@given(
    series=samples(),
    points=st.lists(st.tuples(values() | st.just(-0.0), times_ns()), min_size=1, max_size=5),
    precision=precisions(),
    stamped=st.booleans(),
)
def test_metrics(
    name: str,
    series: Any,
    points: list[tuple[float, int]],
    precision: int | None,
    stamped: bool,
) -> None:
    """A series' samples, whatever their values and times."""
    encoder = load(name)
    given_options = {"precision": precision, "timestamp": stamped}
    known = encoder.options.__dataclass_fields__
    options = encoder.options(**{k: v for k, v in given_options.items() if k in known})
    events: list[Event] = [
        replace(series, value=value, time_ns=time_ns) for value, time_ns in points
    ]
    assert same(encoder, events, [value for value, _ in points], options)


@pytest.mark.parametrize("name", LOG_ENCODERS)
@unhurried
@given(series=records(), others=st.lists(records(), min_size=1, max_size=5))
def test_logs(name: str, series: Log, others: list[Log]) -> None:
    """A stream's logs, whatever they say."""
    events: list[Event] = [replace(other, labels=series.labels) for other in others]
    many = LogValues.of(LogValue(one.severity, one.message, one.fields) for one in others)
    encoder = load(name)
    assert same(encoder, events, many, encoder.options())


@pytest.mark.skipif(not is_usable("encoder", "remote_write"), reason="needs its extra")
@unhurried
@given(
    series=samples(),
    points=st.lists(st.tuples(values() | st.just(-0.0), times_ns() | st.just(0)), min_size=1)
    | st.lists(st.tuples(values(), st.integers(2**60, 2**60 + 10**14)), min_size=1),  # of a length
)
def test_remote_write(series: Metric, points: list[tuple[float, int]]) -> None:
    """A series' samples are what protobuf writes for one `TimeSeries` that holds them all."""
    from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1

    encoder = load("remote_write")
    bodies: list[bytes] = []
    whole = v1.WriteRequest()
    for value, time_ns in points:
        event = replace(series, value=value, time_ns=time_ns)
        bodies.append(encoder.encode(event, encoder.options()).unwrap())
        (one,) = v1.WriteRequest.FromString(bodies[-1]).timeseries
        if whole.timeseries:
            whole.timeseries[0].samples.extend(one.samples)
        else:
            whole.timeseries.append(one)
    many, times = [value for value, _ in points], [time_ns for _, time_ns in points]
    together = encode_series(encoder, series, many, times, encoder.options()).unwrap()
    assert together.body == whole.SerializeToString()
    assert together.size_bytes == sum(map(len, bodies))


@pytest.mark.parametrize("name", ["prometheus_text", "influx_lp", "json_lines"])
@unhurried
@given(series=samples() | records())
def test_what_says_that_it_is_lines(name: str, series: Event) -> None:
    """Each event ends with the only line feed that it has."""
    encoder = load(name)
    if isinstance(series, Metric) or name == "json_lines":
        body = encoder.encode(series, encoder.options()).value_or(b"\n")
        assert encoder.lines
        assert body.find(b"\n") == len(body) - 1
