"""Which bodies of a 2xx accept an OTLP export, which reject a record, and which are neither."""

from __future__ import annotations

import gzip
import json
from typing import Any, Final, Literal

import httpx
import pytest

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from sonda.pipeline.net.http_verdict import Accepted, HttpAnswer, Rejected, Unreadable, Verdict
from sonda.pipeline.net.otlp_answer import judge_export

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
WHAT: Final = "but rejected the event"


def logs(rejected: int, message: str = "") -> bytes:
    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=partial).SerializeToString()


def metrics(rejected: int, message: str = "") -> bytes:
    partial = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return ExportMetricsServiceResponse(partial_success=partial).SerializeToString()


def judge(
    body: bytes,
    kind: str = PROTOBUF,
    *,
    signal: Literal["logs", "metrics"] = "logs",
    events: int = 1,
    **headers: str,
) -> Verdict:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = httpx.Headers({"content-type": kind, **named} if kind else named)
    return judge_export(signal, HttpAnswer(200, fields, body), events)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON, "text/html", ""])
def test_an_empty_body_rejects_nothing(kind: str) -> None:
    """Many receivers answer with nothing at all."""
    assert judge(b"", kind) == Accepted()


@pytest.mark.parametrize(
    ("body", "signal", "expected"),
    [
        (logs(0), "logs", Accepted()),
        (logs(0, "slow down"), "logs", Accepted("slow down")),
        (logs(1, "no"), "logs", Rejected(WHAT, "no")),
        (logs(2), "logs", Rejected(WHAT)),
        (logs(-1), "logs", Accepted()),
        (metrics(0, "careful"), "metrics", Accepted("careful")),
        (metrics(1, "no"), "metrics", Rejected(WHAT, "no")),
    ],
)
@pytest.mark.parametrize("kind", [PROTOBUF, "application/protobuf", ""])
def test_protobuf(body: bytes, signal: Any, expected: Verdict, kind: str) -> None:
    """A message of the request's own format."""
    assert judge(body, kind, signal=signal) == expected


@pytest.mark.parametrize(
    ("document", "signal", "expected"),
    [
        ({}, "logs", Accepted()),
        ({"partialSuccess": {}}, "logs", Accepted()),
        ({"partialSuccess": None, "more": 1}, "logs", Accepted()),
        ({"partialSuccess": {"errorMessage": "slow"}}, "logs", Accepted("slow")),
        ({"partialSuccess": {"rejectedLogRecords": "1"}}, "logs", Rejected(WHAT)),
        ({"partialSuccess": {"rejectedLogRecords": 1, "x": 2}}, "logs", Rejected(WHAT)),
        (
            {"partial_success": {"rejected_log_records": 1, "error_message": "no"}},
            "logs",
            Rejected(WHAT, "no"),
        ),
        ({"partialSuccess": {"rejectedDataPoints": "1"}}, "metrics", Rejected(WHAT)),
    ],
)
def test_json(document: Any, signal: Any, expected: Verdict) -> None:
    """The same as JSON, 64-bit integers as text or not, unknown fields ignored."""
    body = json.dumps(document).encode()
    assert judge(body, JSON, signal=signal) == expected
    assert judge(body, "Application/JSON; charset=utf-8", signal=signal) == expected
    assert judge(gzip.compress(body), JSON, signal=signal, content_encoding="gzip") == expected


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Welcome, please sign in</html>", "text/html"),
        (b"<html>Welcome, please sign in</html>", PROTOBUF),
        (b"<html>Welcome, please sign in</html>", ""),
        (b"ok", "text/plain"),
        (b"ok", PROTOBUF),
        (logs(0, "x")[:-1], PROTOBUF),
        (logs(0, "x"), JSON),
        (b"{", JSON),
        (b"null", JSON),
        (b"[]", JSON),
        (b'"ok"', JSON),
        (b'{"status":"ok"}', JSON),
        (b'{"partialSuccess":{"rejectedLogRecords":"x"}}', JSON),
        (b'{"partialSuccess":[]}', JSON),
        (b'{"partialSuccess":' + b"[" * 100_000, JSON),
        (b"\xff\xfe\xff", JSON),
    ],
)
def test_what_is_no_answer(body: bytes, kind: str) -> None:
    """A captive portal's page and the like neither accept nor reject."""
    assert judge(body, kind) == Unreadable("its body is no answer to an export of logs")


def test_what_is_torn() -> None:
    """A message of which a part is missing may have rejected the record there."""
    torn = Unreadable("its body cannot be read whole")
    assert judge(gzip.compress(logs(0, "x"))[:-8], content_encoding="gzip") == torn
    assert judge(logs(0, "x"), content_encoding="br") == torn
    cut = HttpAnswer(200, httpx.Headers({"content-type": PROTOBUF}), logs(0), whole=False)
    assert judge_export("logs", cut, 1) == torn


@pytest.mark.parametrize("rejected", [1, 2])
def test_some_of_many(rejected: int) -> None:
    """Where not all of a request's records were rejected, the collector does not tell which."""
    what = f"but rejected {rejected} of 3 events, and did not tell which"
    assert judge(logs(rejected), events=3) == Rejected(what, per_event=True, rejected=rejected)


@pytest.mark.parametrize("rejected", [3, 4])
def test_all_of_many(rejected: int) -> None:
    """Then each of them was."""
    assert judge(logs(rejected), events=3) == Rejected(WHAT)
