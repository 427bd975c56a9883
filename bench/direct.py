"""What a client would post to a destination itself, without Sonda: one event per request."""

from __future__ import annotations

import json
import struct
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from .load import Request

LABELS: Final = {"env": "prod", "event": "bench"}
MESSAGE: Final = "bench_event <<NUMBER>>"
METRIC: Final = "bench_event"
SERIES: Final = "<<SERIES>>"
LINE: Final = json.dumps(
    {
        "timestamp": "2026-03-23T14:59:04.840Z",
        "severity": "info",
        "message": MESSAGE,
        "labels": LABELS,
        "fields": {"version": "1.2.2"},
    },
    separators=(",", ":"),
)


def line(url: str) -> Request:
    """Post the event as a JSON line."""
    return Request(url, f"{LINE}\n".encode(), {"Content-Type": "application/x-ndjson"})


def loki(url: str) -> Request:
    """Push it to a Loki."""
    stream = {"stream": LABELS, "values": [["<<NANOSECONDS_19>>_", LINE]]}
    return Request(
        f"{url}/loki/api/v1/push", json.dumps({"streams": [stream]}, separators=(",", ":")).encode()
    )


def otlp_http(url: str) -> Request:
    """Export it to a Collector over OTLP/HTTP."""
    attributes = [
        KeyValue(key=name, value=AnyValue(string_value=text)) for name, text in LABELS.items()
    ]
    record = LogRecord(
        time_unix_nano=1_774_279_744_840_000_000,
        severity_text="INFO",
        body=AnyValue(string_value=MESSAGE),
        attributes=attributes,
    )
    export = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])]
    )
    headers = {"Content-Type": "application/x-protobuf"}
    return Request(f"{url}/v1/logs", export.SerializeToString(), headers)


def remote_write(url: str, *, run: str) -> Request:
    """Write one sample; *run* is a label, so that no other load has written to its series before."""
    labels = {"__name__": METRIC, "env": "prod", "run": run, "series": SERIES}
    series = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode()))
        for name, value in labels.items()
    )
    sample = b"\x09" + struct.pack("<d", 1.0) + b"\x10" + b"<<MS>>"
    body = _field(1, series + _field(2, sample))
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
        "User-Agent": "wrk",
    }
    return Request(url, _snappy(body), headers)


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field of a protobuf message."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _snappy(raw: bytes) -> bytes:
    """Wrap bytes as a snappy block of one literal: compressed, the placeholders would be lost."""
    length = len(raw) - 1
    return _varint(len(raw)) + bytes([61 << 2]) + length.to_bytes(2, "little") + raw
