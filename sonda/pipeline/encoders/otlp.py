"""OpenTelemetry's own format, for logs and metrics: one export request with one record in it.

Two requests, one after the other, are again a request: protobuf merges them.
Spec: https://opentelemetry.io/docs/specs/otlp/, https://github.com/open-telemetry/opentelemetry-proto
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import (
    LogRecord,
    ResourceLogs,
    ScopeLogs,
    SeverityNumber,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    SummaryDataPoint,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Histogram as OtlpHistogram,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric as OtlpMetric,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Summary as OtlpSummary,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from returns.result import Result, Success

from sonda.about import version
from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.encoders import Encoder
from sonda.pipeline.model import Event, Log, Metric, Severity
from sonda.pipeline.problems import Problem

_SEVERITY_NUMBERS: Final[Mapping[Severity, SeverityNumber.ValueType]] = {
    "trace": SeverityNumber.SEVERITY_NUMBER_TRACE,
    "debug": SeverityNumber.SEVERITY_NUMBER_DEBUG,
    "info": SeverityNumber.SEVERITY_NUMBER_INFO,
    "warn": SeverityNumber.SEVERITY_NUMBER_WARN,
    "error": SeverityNumber.SEVERITY_NUMBER_ERROR,
    "fatal": SeverityNumber.SEVERITY_NUMBER_FATAL,
}
_NAMES_OF_SERVICE: Final = ("service_name", "service", "job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """The format has no options."""


def encode(event: Event, _options: Otlp) -> Result[bytes, Problem]:
    """Render one serialised request, time in nanoseconds; it never fails."""
    resource = Resource(
        attributes=_attributes({**event.labels, "service.name": _service(event.labels)})
    )
    scope = InstrumentationScope(name="sonda", version=version())
    request: ExportLogsServiceRequest | ExportMetricsServiceRequest
    match event:
        case Log():
            logs = ScopeLogs(scope=scope, log_records=[_log_record(event)])
            request = ExportLogsServiceRequest(
                resource_logs=[ResourceLogs(resource=resource, scope_logs=[logs])]
            )
        case _:
            metrics = ScopeMetrics(scope=scope, metrics=[_metric(event)])
            request = ExportMetricsServiceRequest(
                resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[metrics])]
            )
    return Success(request.SerializeToString())


def _log_record(record: Log) -> LogRecord:
    return LogRecord(
        time_unix_nano=record.time_ns,
        observed_time_unix_nano=record.time_ns,
        severity_number=_SEVERITY_NUMBERS[record.severity],
        severity_text=record.severity.upper(),
        body=AnyValue(string_value=record.message),
        attributes=_attributes({**record.labels, **record.fields}),
    )


def _metric(event: Metric | Histogram | Summary) -> OtlpMetric:
    match event:
        case Metric():
            return OtlpMetric(name=event.name, gauge=Gauge(data_points=[_number(event)]))
        case Histogram():
            histogram = OtlpHistogram(
                aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
                data_points=[_histogram(event)],
            )
            return OtlpMetric(name=event.name, histogram=histogram)
        case Summary():
            return OtlpMetric(name=event.name, summary=OtlpSummary(data_points=[_summary(event)]))


def _number(sample: Metric) -> NumberDataPoint:
    return NumberDataPoint(
        time_unix_nano=sample.time_ns,
        as_double=sample.value,
        attributes=_attributes(sample.labels),
    )


def _histogram(event: Histogram) -> HistogramDataPoint:
    """Render a point: what each bucket has for itself. A sum is only for what is never below 0."""
    cumulative = [*event.counts, event.count]
    point = HistogramDataPoint(
        start_time_unix_nano=event.since_ns,
        time_unix_nano=event.time_ns,
        count=event.count,
        bucket_counts=[after - before for before, after in pairwise([0, *cumulative])],
        explicit_bounds=event.bounds,
        attributes=_attributes(event.labels),
    )
    if not event.has_negative:
        point.sum = event.total
    return point


def _summary(event: Summary) -> SummaryDataPoint:
    quantiles = zip(event.quantiles, event.values, strict=True)
    return SummaryDataPoint(
        start_time_unix_nano=event.since_ns,
        time_unix_nano=event.time_ns,
        count=event.count,
        sum=event.total,
        quantile_values=[
            SummaryDataPoint.ValueAtQuantile(quantile=quantile, value=value)
            for quantile, value in quantiles
        ],
        attributes=_attributes(event.labels),
    )


def _attributes(values: Mapping[str, str]) -> list[KeyValue]:
    """Render attributes: their keys must be unique, and are sorted so that equal events are equal."""
    return [
        KeyValue(key=name, value=AnyValue(string_value=value))
        for name, value in sorted(values.items())
    ]


def _service(labels: Mapping[str, str]) -> str:
    """Name the service, which every resource must have; an empty label names none."""
    named = (labels.get(label) for label in _NAMES_OF_SERVICE)
    return next(filter(None, named), "sonda")


def decode(event: Event, body: bytes) -> Mapping[str, Any]:
    """Read a request as OTLP's own JSON: camelCase, 64-bit integers as text, enumerations as numbers."""
    from google.protobuf.json_format import MessageToDict

    kind = ExportLogsServiceRequest if event.signal_type == "logs" else ExportMetricsServiceRequest
    return MessageToDict(kind.FromString(body), use_integers_for_enums=True)


ENCODER: Final = Encoder(
    Otlp, "application/x-protobuf", encode, decode=decode, encode_aggregate=encode
)
