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
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    SummaryDataPoint,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric as OtlpMetric,
)
from returns.result import Result, Success

from sonda.about import version
from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.encoders import Encoder
from sonda.pipeline.encoders._protobuf import attribute
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
_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
# The tags of the repeated attributes in each message: field 1, 6, 7 and 9.
_OF_RESOURCE: Final = b"\x0a"
_OF_RECORD: Final = b"\x32"
_OF_NUMBER: Final = b"\x3a"  # and of a summary
_OF_HISTOGRAM: Final = b"\x4a"
_NAMES_OF_SERVICE: Final = ("service_name", "service", "job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """The format has no options."""


def encode(event: Event, _options: Otlp) -> Result[bytes, Problem]:
    """Render one serialised request, time in nanoseconds; it never fails.

    Messages are filled in place: to put one into another copies it.
    """
    labels = _attributes(event.labels)
    resource = _join(_OF_RESOURCE, labels, {"service.name": _service(event.labels)})
    match event:
        case Log():
            logs = ExportLogsServiceRequest()
            of_logs = logs.resource_logs.add()
            of_logs.resource.MergeFromString(resource)
            _fill_record(of_logs.scope_logs.add(scope=_scope()).log_records.add(), event, labels)
            return Success(logs.SerializeToString())
        case _:
            metrics = ExportMetricsServiceRequest()
            of_metrics = metrics.resource_metrics.add()
            of_metrics.resource.MergeFromString(resource)
            _fill_metric(of_metrics.scope_metrics.add(scope=_scope()).metrics.add(), event, labels)
            return Success(metrics.SerializeToString())


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name="sonda", version=version())


def _fill_record(record: LogRecord, log: Log, labels: Mapping[str, bytes]) -> None:
    record.time_unix_nano = record.observed_time_unix_nano = log.time_ns
    record.severity_number = _SEVERITY_NUMBERS[log.severity]
    record.severity_text = log.severity.upper()
    record.body.string_value = log.message
    record.MergeFromString(_join(_OF_RECORD, labels, log.fields))


def _fill_metric(
    metric: OtlpMetric, event: Metric | Histogram | Summary, labels: Mapping[str, bytes]
) -> None:
    metric.name = event.name
    match event:
        case Metric():
            point = metric.gauge.data_points.add(
                time_unix_nano=event.time_ns, as_double=event.value
            )
            point.MergeFromString(_join(_OF_NUMBER, labels))
        case Histogram():
            metric.histogram.aggregation_temporality = _CUMULATIVE
            _fill_histogram(metric.histogram.data_points.add(), event, labels)
        case Summary():
            _fill_summary(metric.summary.data_points.add(), event, labels)


def _fill_histogram(
    point: HistogramDataPoint, event: Histogram, labels: Mapping[str, bytes]
) -> None:
    """Write what each bucket has for itself. A sum is only for what is never below 0."""
    cumulative = [*event.counts, event.count]
    point.start_time_unix_nano, point.time_unix_nano = event.since_ns, event.time_ns
    point.count = event.count
    point.bucket_counts.extend(after - before for before, after in pairwise([0, *cumulative]))
    point.explicit_bounds.extend(event.bounds)
    if not event.has_negative:
        point.sum = event.total
    point.MergeFromString(_join(_OF_HISTOGRAM, labels))


def _fill_summary(point: SummaryDataPoint, event: Summary, labels: Mapping[str, bytes]) -> None:
    point.start_time_unix_nano, point.time_unix_nano = event.since_ns, event.time_ns
    point.count, point.sum = event.count, event.total
    for quantile, value in zip(event.quantiles, event.values, strict=True):
        point.quantile_values.add(quantile=quantile, value=value)
    point.MergeFromString(_join(_OF_NUMBER, labels))


def _attributes(values: Mapping[str, str]) -> dict[str, bytes]:
    """Serialise attributes, sorted by name so that equal events are equal."""
    return {name: attribute(name, values[name]) for name in sorted(values)}


def _join(tag: bytes, labels: Mapping[str, bytes], more: Mapping[str, str] | None = None) -> bytes:
    """Serialise a repeated field of attributes, whose keys must be unique: those of *more* win."""
    named = labels
    if more:
        together = {**labels, **_attributes(more)}
        named = {name: together[name] for name in sorted(together)}
    return tag + tag.join(named.values()) if named else b""


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
