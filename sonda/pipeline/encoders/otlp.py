"""OpenTelemetry's own format, for logs and metrics: one export request with one record in it.

Two requests, one after the other, are again a request: protobuf merges them.
Spec: https://opentelemetry.io/docs/specs/otlp/, https://github.com/open-telemetry/opentelemetry-proto
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    NumberDataPoint,
    SummaryDataPoint,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Histogram as OtlpHistogram,
)
from returns.result import Result, Success

from sonda.about import version
from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.encoders import Encoder, Joined, LogValues
from sonda.pipeline.encoders._protobuf import attributes, delimited, varint
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
# The tags of messages inside of others.
_FIELD_1: Final = b"\x0a"  # resources of a request, the resource itself, a scope, points
_FIELD_2: Final = b"\x12"  # scopes of a resource, records or metrics of a scope
_GAUGE: Final = b"\x2a"
_HISTOGRAM: Final = b"\x4a"
_SUMMARY: Final = b"\x5a"
_SERVICE_NAME: Final = "service.name"
_NAMES_OF_SERVICE: Final = ("service_name", "service", "job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """The format has no options."""


_TIME_OF_RECORD: Final = struct.Struct("<cQ")
_TIME_AND_VALUE: Final = struct.Struct("<cQcd")
_VALUE: Final = struct.Struct("<cd")


def encode(event: Event, _options: Otlp) -> Result[bytes, Problem]:
    """Render one serialised request, time in nanoseconds; it never fails.

    Attributes are joined with the rest as bytes: an event may have a hundred thousand, and the
    library would read each into an object, for the record and for its resource.
    """
    labels = attributes(event.labels)
    resource = _resource(labels, _service(event.labels))
    record = _record(event, labels) if isinstance(event, Log) else _metric(event, labels)
    in_scope = delimited(_FIELD_1, _scope()) + delimited(_FIELD_2, record)
    in_resource = delimited(_FIELD_1, resource) + delimited(_FIELD_2, in_scope)
    return Success(delimited(_FIELD_1, in_resource))


def encode_many(
    series: Event,
    values: Sequence[float] | LogValues,
    times_ns: Sequence[int],
    _options: Otlp,
) -> Result[Joined, Problem]:
    """Render one request of many logs, or of one metric with many points, of one label set.

    It never fails. Records and points are written as protobuf writes them, byte for byte.
    Spec: https://protobuf.dev/programming-guides/encoding/
    """
    labels = attributes(series.labels)
    resource = _resource(labels, _service(series.labels))
    around = delimited(_FIELD_1, resource), delimited(_FIELD_1, _scope())
    if isinstance(values, LogValues):
        records = _records(labels, values, times_ns)
        sizes = Counter(map(len, records))
        return Success(Joined(_request(around, b"".join(records)), _size_of_each(around, sizes)))
    assert isinstance(series, Metric)  # noqa: S101  # its values are numbers
    points = _points(labels, values, times_ns)
    name = delimited(_FIELD_1, series.name.encode())

    def metric(written: bytes) -> bytes:
        return delimited(_FIELD_2, name + delimited(_GAUGE, written))

    sizes = Counter()
    for size, count in Counter(map(len, points)).items():
        sizes[len(metric(bytes(size)))] += count
    return Success(Joined(_request(around, metric(b"".join(points))), _size_of_each(around, sizes)))


def _request(around: tuple[bytes, bytes], records: bytes) -> bytes:
    """Return a request of records behind their lengths, *around* which are resource and scope."""
    resource, scope = around
    return delimited(_FIELD_1, resource + delimited(_FIELD_2, scope + records))


def _size_of_each(around: tuple[bytes, bytes], sizes: Mapping[int, int]) -> int:
    """Return the bytes of requests of one record each: *sizes* has how many have which length."""
    return sum(len(_request(around, bytes(size))) * count for size, count in sizes.items())


def _records(
    labels: Mapping[str, bytes], values: LogValues, times_ns: Sequence[int]
) -> list[bytes]:
    """Return each record behind its length, as `_record` and protobuf write it."""
    severities: dict[Severity, bytes] = {}
    joined: dict[tuple[tuple[str, str], ...], bytes] = {}  # what a pool has given stands often
    records: list[bytes] = []
    for (severity, message, fields), time_ns in zip(values, times_ns, strict=True):
        if severity not in severities:
            severities[severity] = LogRecord(
                severity_number=_SEVERITY_NUMBERS[severity], severity_text=severity.upper()
            ).SerializeToString()
        key = tuple(fields.items())
        if key not in joined:
            joined[key] = _join(_OF_RECORD, labels, fields)
        text = message.encode()
        body = b"\x0a%b%b" % (varint(len(text)), text)
        record = b"%b%b\x2a%b%b%b%b" % (
            _TIME_OF_RECORD.pack(b"\x09", time_ns) if time_ns else b"",
            severities[severity],
            varint(len(body)),
            body,
            joined[key],
            _TIME_OF_RECORD.pack(b"\x59", time_ns) if time_ns else b"",
        )
        records.append(b"\x12%b%b" % (varint(len(record)), record))
    return records


def _points(
    labels: Mapping[str, bytes], values: Sequence[float], times_ns: Sequence[int]
) -> list[bytes]:
    """Return each point of a gauge behind its length, as protobuf writes it."""
    own = _join(_OF_NUMBER, labels)
    length = varint(_TIME_AND_VALUE.size + len(own))
    return [
        b"\x0a%b%b%b" % (length, _TIME_AND_VALUE.pack(b"\x19", time_ns, b"\x21", value), own)
        if time_ns
        else delimited(_FIELD_1, _VALUE.pack(b"\x21", value) + own)
        for value, time_ns in zip(values, times_ns, strict=True)
    ]


@cache
def _scope() -> bytes:
    return InstrumentationScope(name="sonda", version=version()).SerializeToString()


def _record(log: Log, labels: Mapping[str, bytes]) -> bytes:
    """Serialise a record; its fields ascend, as the library writes them."""
    before = LogRecord(
        time_unix_nano=log.time_ns,
        severity_number=_SEVERITY_NUMBERS[log.severity],
        severity_text=log.severity.upper(),
        body=AnyValue(string_value=log.message),
    )
    after = LogRecord(observed_time_unix_nano=log.time_ns)
    attributes = _join(_OF_RECORD, labels, log.fields)
    return before.SerializeToString() + attributes + after.SerializeToString()


def _metric(event: Metric | Histogram | Summary, labels: Mapping[str, bytes]) -> bytes:
    match event:
        case Metric():
            number = NumberDataPoint(time_unix_nano=event.time_ns, as_double=event.value)
            point = number.SerializeToString() + _join(_OF_NUMBER, labels)
            data = delimited(_GAUGE, delimited(_FIELD_1, point))
        case Histogram():
            point = _histogram(event).SerializeToString() + _join(_OF_HISTOGRAM, labels)
            kind = OtlpHistogram(aggregation_temporality=_CUMULATIVE).SerializeToString()
            data = delimited(_HISTOGRAM, delimited(_FIELD_1, point) + kind)
        case Summary():
            point = _summary(event).SerializeToString() + _join(_OF_NUMBER, labels)
            data = delimited(_SUMMARY, delimited(_FIELD_1, point))
    return delimited(_FIELD_1, event.name.encode()) + data


def _histogram(event: Histogram) -> HistogramDataPoint:
    """Return what each bucket has for itself. A sum is only for what is never below 0."""
    cumulative = [*event.counts, event.count]
    point = HistogramDataPoint(
        start_time_unix_nano=event.since_ns,
        time_unix_nano=event.time_ns,
        count=event.count,
        bucket_counts=[after - before for before, after in pairwise([0, *cumulative])],
        explicit_bounds=event.bounds,
    )
    if not event.has_negative:
        point.sum = event.total
    return point


def _summary(event: Summary) -> SummaryDataPoint:
    point = SummaryDataPoint(
        start_time_unix_nano=event.since_ns,
        time_unix_nano=event.time_ns,
        count=event.count,
        sum=event.total,
    )
    for quantile, value in zip(event.quantiles, event.values, strict=True):
        point.quantile_values.add(quantile=quantile, value=value)
    return point


def _join(tag: bytes, labels: Mapping[str, bytes], more: Mapping[str, str] | None = None) -> bytes:
    """Serialise a repeated field of attributes, whose keys must be unique: those of *more* win."""
    if not more:
        return tag + tag.join(labels.values()) if labels else b""
    together = {**labels, **attributes(more)}
    return tag + tag.join(map(together.__getitem__, sorted(together)))


def _resource(labels: Mapping[str, bytes], service: str) -> bytes:
    """Serialise the attributes of a resource: the labels, which are sorted, and the service's name."""
    own = attributes({_SERVICE_NAME: service})[_SERVICE_NAME]
    written = list(labels.values())
    written.insert(bisect_left(list(labels), _SERVICE_NAME), own)  # no label has a dot in its name
    return _OF_RESOURCE + _OF_RESOURCE.join(written)


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
    Otlp,
    "application/x-protobuf",
    encode,
    decode=decode,
    encode_many=encode_many,
    encode_aggregate=encode,
)
