"""OpenTelemetry's own format, for logs and metrics: one export request with one record in it.

Two requests, one after the other, are again a request: protobuf merges them.
Spec: https://opentelemetry.io/docs/specs/otlp/, https://github.com/open-telemetry/opentelemetry-proto
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import (
    LogRecord,
    ResourceLogs,
    ScopeLogs,
    SeverityNumber,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric as OtlpMetric,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from returns.result import Result, Success

from sonda.about import version
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
# The tags of the repeated attributes in each message: field 1, 6 and 7.
_OF_RESOURCE: Final = b"\x0a"
_OF_RECORD: Final = b"\x32"
_OF_POINT: Final = b"\x3a"
_NAMES_OF_SERVICE: Final = ("service_name", "service", "job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """The format has no options."""


def encode(event: Event, _options: Otlp) -> Result[bytes, Problem]:
    """Render one serialised request, time in nanoseconds; it never fails."""
    resource = Resource()
    named = {**event.labels, "service.name": _service(event.labels)}
    resource.MergeFromString(_attributes(named, _OF_RESOURCE))
    scope = InstrumentationScope(name="sonda", version=version())
    request: ExportLogsServiceRequest | ExportMetricsServiceRequest
    match event:
        case Log():
            logs = ScopeLogs(scope=scope, log_records=[_log_record(event)])
            request = ExportLogsServiceRequest(
                resource_logs=[ResourceLogs(resource=resource, scope_logs=[logs])]
            )
        case Metric():
            metrics = ScopeMetrics(scope=scope, metrics=[_gauge(event)])
            request = ExportMetricsServiceRequest(
                resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[metrics])]
            )
    return Success(request.SerializeToString())


def _log_record(record: Log) -> LogRecord:
    written = LogRecord(
        time_unix_nano=record.time_ns,
        observed_time_unix_nano=record.time_ns,
        severity_number=_SEVERITY_NUMBERS[record.severity],
        severity_text=record.severity.upper(),
        body=AnyValue(string_value=record.message),
    )
    written.MergeFromString(_attributes({**record.labels, **record.fields}, _OF_RECORD))
    return written


def _gauge(sample: Metric) -> OtlpMetric:
    point = NumberDataPoint(time_unix_nano=sample.time_ns, as_double=sample.value)
    point.MergeFromString(_attributes(sample.labels, _OF_POINT))
    return OtlpMetric(name=sample.name, gauge=Gauge(data_points=[point]))


def _attributes(values: Mapping[str, str], tag: bytes) -> bytes:
    """Serialise attributes: their keys must be unique, and are sorted so that equal events are equal."""
    return b"".join([tag + attribute(*named) for named in sorted(values.items())])


def _service(labels: Mapping[str, str]) -> str:
    """Name the service, which every resource must have; an empty label names none."""
    named = (labels.get(label) for label in _NAMES_OF_SERVICE)
    return next(filter(None, named), "sonda")


def decode(event: Event, body: bytes) -> Mapping[str, Any]:
    """Read a request as OTLP's own JSON: camelCase, 64-bit integers as text, enumerations as numbers."""
    from google.protobuf.json_format import MessageToDict

    kind = ExportLogsServiceRequest if event.signal_type == "logs" else ExportMetricsServiceRequest
    return MessageToDict(kind.FromString(body), use_integers_for_enums=True)


ENCODER: Final = Encoder(Otlp, "application/x-protobuf", encode, decode=decode)
