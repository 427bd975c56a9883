"""The answer to an OTLP export, which can reject records inside a success.

Over gRPC it is a protobuf message; over HTTP it is one, or the same as JSON, by its content type.
Spec: https://opentelemetry.io/docs/specs/otlp/#partial-success
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from sonda.pipeline.model import Signal
from sonda.pipeline.net.http_content import PROTOBUF_TYPES, decode, media_type
from sonda.pipeline.net.http_verdict import Accepted, HttpAnswer, Rejected, Unreadable, Verdict

RETRYABLE_STATUSES: Final = frozenset({429, 502, 503, 504})  # of OTLP over HTTP
_PROTOBUF: Final = (*PROTOBUF_TYPES, "")  # none: what was sent
_FIELDS: Final = frozenset({"partialSuccess", "partial_success"})
_BODY_BYTES: Final = 1 << 20  # once its coding is undone


class ExportResult(NamedTuple):
    """The number of rejected records of a request, and the message that came with it."""

    rejected: int
    message: str


def is_retryable(status: int) -> bool:
    """Return whether the specification lets a client try again after *status* over HTTP."""
    return status in RETRYABLE_STATUSES


def parse_export_response(body: bytes, signal: Signal) -> ExportResult:
    """Return the result in a protobuf message; raise `DecodeError` if it is none."""
    if signal == "logs":
        return _of_logs(ExportLogsServiceResponse.FromString(body))
    return _of_metrics(ExportMetricsServiceResponse.FromString(body))


def _of_logs(response: ExportLogsServiceResponse) -> ExportResult:
    partial = response.partial_success
    return ExportResult(partial.rejected_log_records, partial.error_message)


def _of_metrics(response: ExportMetricsServiceResponse) -> ExportResult:
    partial = response.partial_success
    return ExportResult(partial.rejected_data_points, partial.error_message)


def judge_export(signal: Signal, answer: HttpAnswer, events: int) -> Verdict:
    """Judge a 2xx to a request with so many *events*, a record each.

    An empty body rejects nothing. Which of several records were rejected the answer does not say.
    """
    content = decode(answer.body, answer.headers, _BODY_BYTES)
    if content is None or not (answer.whole and content.whole):
        return Unreadable("its body cannot be read whole")
    if not content.body:
        return Accepted()
    try:
        result = _read(content.body, media_type(answer.headers), signal)
    except (DecodeError, ParseError, ValueError, RecursionError):
        return Unreadable(f"its body is no answer to an export of {signal}")
    if result.rejected <= 0:
        return Accepted(result.message)
    what, some = rejected_of(result.rejected, events)
    return Rejected(what, result.message, per_event=some > 0, rejected=some)


def rejected_of(rejected: int, events: int) -> tuple[str, int]:
    """Return what a collector has said of so many *events*, and how many it rejected if not all."""
    if rejected < events:
        return f"but rejected {rejected} of {events} events, and did not tell which", rejected
    return "but rejected the event", 0


def _read(body: bytes, kind: str, signal: Signal) -> ExportResult:
    if kind in _PROTOBUF:
        return parse_export_response(body, signal)
    if kind != "application/json":
        raise ValueError("it is neither protobuf nor JSON")
    document: Any = json.loads(body)
    if not isinstance(document, dict) or (document and not _FIELDS & document.keys()):
        raise ValueError("it is another API's answer")  # a stranger's 200 is no yes
    if any(not isinstance(document[name], dict | None) for name in _FIELDS & document.keys()):
        raise ValueError("a message is an object")  # protobuf's reader takes an empty list for one
    if signal == "logs":
        logs = ParseDict(document, ExportLogsServiceResponse(), ignore_unknown_fields=True)
        return _of_logs(logs)
    metrics = ParseDict(document, ExportMetricsServiceResponse(), ignore_unknown_fields=True)
    return _of_metrics(metrics)
