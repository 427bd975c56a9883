"""A histogram and a summary in every format that carries metrics: all samples in one event."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from returns.result import Success

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.stages.encode import encode
from tests.unit.pipeline.scenarios.support import compiled, histogram

metrics_service = pytest.importorskip(
    "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", reason="otlp: no extra"
)
v1 = pytest.importorskip(
    "sonda.pipeline.encoders._remote_write_v1_pb2", reason="remote_write: no extra"
)

NOW_NS = 1_700_000_000_000_000_000
HISTOGRAM = Histogram(
    name="wait_seconds",
    bounds=[0.1, 1.0],
    counts=[3, 7],
    count=9,
    total=12.5,
    since_ns=NOW_NS - 1,
    time_ns=NOW_NS,
    labels={"job": "shop"},
)
SUMMARY = Summary(
    name="wait_seconds",
    quantiles=[0.5, 1.0],
    values=[0.25, 4.0],
    count=9,
    total=12.5,
    since_ns=NOW_NS - 1,
    time_ns=NOW_NS,
    labels={"job": "shop"},
)
TCP = {"type": "tcp", "address": "127.0.0.1:9"}


def _body(event: Histogram | Summary, encoder: str, **options: Any) -> bytes:
    sink: dict[str, Any] = TCP
    if encoder == "remote_write":
        sink = {"type": "remote_write", "url": "http://127.0.0.1:9/api/v1/write"}
    if encoder == "otlp":
        sink = {"type": "otlp_http", "endpoint": "http://127.0.0.1:9"}
    written = histogram(encoder={"type": encoder, **options}, sink=sink)
    route = compiled(written).unwrap().entries[0].route
    return encode(route.validated_event(event)).unwrap().payload.body


def test_prometheus_text() -> None:
    """A line for each sample: the buckets, the sum, the count."""
    assert _body(HISTOGRAM, "prometheus_text") == (
        b'wait_seconds_bucket{job="shop",le="0.1"} 3 1700000000000\n'
        b'wait_seconds_bucket{job="shop",le="1"} 7 1700000000000\n'
        b'wait_seconds_bucket{job="shop",le="+Inf"} 9 1700000000000\n'
        b'wait_seconds_sum{job="shop"} 12.5 1700000000000\n'
        b'wait_seconds_count{job="shop"} 9 1700000000000\n'
    )
    assert _body(SUMMARY, "prometheus_text", timestamp=False) == (
        b'wait_seconds{job="shop",quantile="0.5"} 0.25\n'
        b'wait_seconds{job="shop",quantile="1"} 4\n'
        b'wait_seconds_sum{job="shop"} 12.5\n'
        b'wait_seconds_count{job="shop"} 9\n'
    )


@pytest.mark.parametrize(("event", "kind"), [(HISTOGRAM, "histogram"), (SUMMARY, "summary")])
def test_prometheus_reads_one_family(event: Histogram | Summary, kind: str) -> None:
    """With its type before them the lines are one histogram or summary to Prometheus' own client."""
    text = f"# TYPE wait_seconds {kind}\n{_body(event, 'prometheus_text').decode()}"
    [family] = text_string_to_metric_families(text)
    assert (family.type, len(family.samples)) == (kind, text.count("\n") - 1)


def test_lines_of_other_formats() -> None:
    """Each sample is a line as a metric of its own would be."""
    assert _body(SUMMARY, "json_lines") == (
        b'{"name":"wait_seconds","value":0.25,"labels":{"job":"shop","quantile":"0.5"},'
        b'"timestamp":"2023-11-14T22:13:20.000Z"}\n'
        b'{"name":"wait_seconds","value":4.0,"labels":{"job":"shop","quantile":"1"},'
        b'"timestamp":"2023-11-14T22:13:20.000Z"}\n'
        b'{"name":"wait_seconds_sum","value":12.5,"labels":{"job":"shop"},'
        b'"timestamp":"2023-11-14T22:13:20.000Z"}\n'
        b'{"name":"wait_seconds_count","value":9.0,"labels":{"job":"shop"},'
        b'"timestamp":"2023-11-14T22:13:20.000Z"}\n'
    )
    assert _body(HISTOGRAM, "influx_lp").splitlines()[2:] == [
        b"wait_seconds_bucket,job=shop,le=+Inf value=9 1700000000000000000",
        b"wait_seconds_sum,job=shop value=12.5 1700000000000000000",
        b"wait_seconds_count,job=shop value=9 1700000000000000000",
    ]


def test_remote_write_has_all_series_in_one_request() -> None:
    """One request with a series for each sample, their labels in order."""
    request = v1.WriteRequest.FromString(_body(HISTOGRAM, "remote_write"))
    found = [
        ({label.name: label.value for label in one.labels}, one.samples[0].value)
        for one in request.timeseries
    ]
    bucket = {"__name__": "wait_seconds_bucket", "job": "shop"}
    assert found == [
        ({**bucket, "le": "0.1"}, 3),
        ({**bucket, "le": "1"}, 7),
        ({**bucket, "le": "+Inf"}, 9),
        ({"__name__": "wait_seconds_sum", "job": "shop"}, 12.5),
        ({"__name__": "wait_seconds_count", "job": "shop"}, 9),
    ]
    for one in request.timeseries:
        names = [label.name for label in one.labels]
        assert names == sorted(names)
        assert [sample.timestamp for sample in one.samples] == [1_700_000_000_000]


def _metric(event: Histogram | Summary) -> Any:
    request = metrics_service.ExportMetricsServiceRequest.FromString(_body(event, "otlp"))
    [metric] = request.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "wait_seconds"
    return metric


def test_otlp_has_a_histogram_as_one() -> None:
    """One cumulative point, whose buckets count for themselves."""
    histogram = _metric(HISTOGRAM).histogram
    [point] = histogram.data_points
    assert histogram.aggregation_temporality == 2  # cumulative
    assert list(point.explicit_bounds) == [0.1, 1.0]
    assert list(point.bucket_counts) == [3, 4, 2]
    assert (point.count, point.sum, point.HasField("sum")) == (9, 12.5, True)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (NOW_NS - 1, NOW_NS)
    assert [(one.key, one.value.string_value) for one in point.attributes] == [("job", "shop")]


def test_otlp_has_no_sum_of_what_may_be_negative() -> None:
    """The specification wants none: a sum that falls is no counter."""
    written = histogram(distribution={"type": "normal", "mean": 0, "stddev": 1})
    event = compiled(written).unwrap().entries[0].event(0)
    assert isinstance(event, Histogram)
    assert event.has_negative
    [point] = _metric(
        Histogram(
            **{
                **{of: getattr(HISTOGRAM, of) for of in HISTOGRAM.__struct_fields__},
                "has_negative": True,
            }
        )
    ).histogram.data_points
    assert not point.HasField("sum")


def test_otlp_has_a_summary_as_one() -> None:
    """One point with all quantiles."""
    [point] = _metric(SUMMARY).summary.data_points
    assert [(one.quantile, one.value) for one in point.quantile_values] == [(0.5, 0.25), (1, 4)]
    assert (point.count, point.sum) == (9, 12.5)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (NOW_NS - 1, NOW_NS)


def test_what_a_format_cannot_carry_fails_as_for_a_metric() -> None:
    """The first sample that cannot be written is the event's problem."""
    written = histogram(labels={"time": "x"}, encoder={"type": "influx_lp"})
    assert "time" in str(compiled(written).failure())
    assert isinstance(compiled(histogram(encoder={"type": "influx_lp"})), Success)
