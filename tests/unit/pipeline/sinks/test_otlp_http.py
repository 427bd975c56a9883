"""Where OTLP over HTTP goes, and how its requests are joined and packed."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from sonda.pipeline.encoders.otlp import ENCODER, Otlp
from sonda.pipeline.model import Event, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.sinks.otlp_http import OtlpHttp, _compose, describe, open_queues
from tests.support.events import record, sample
from tests.support.wire_otlp import exported_logs

BASE = "http://otel.example:4318"


def payload(event: Event) -> Payload:
    body = ENCODER.encode(event, Otlp()).unwrap()
    return Payload(event, "otlp", ENCODER.content_type, body)


def shown(event: Event, endpoint: str = BASE, **options: Any) -> Any:
    return describe(payload(event), OtlpHttp(endpoint=endpoint, **options), Network()).unwrap()


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        (BASE, "/v1/logs"),
        (f"{BASE}/", "/v1/logs"),
        (f"{BASE}/otlp", "/otlp/v1/logs"),
        (f"{BASE}/otlp/v1/logs", "/otlp/v1/logs"),
        (f"{BASE}?a=b", "/v1/logs?a=b"),
    ],
)
def test_the_path_of_a_signal_is_appended_once(endpoint: str, path: str) -> None:
    """Unless the endpoint ends with it already; a query stays."""
    assert shown(record("x"), endpoint).facts["request"] == f"POST {path} HTTP/1.1"


def test_metrics_have_a_path_of_their_own() -> None:
    """So each signal has its own queue."""
    assert shown(sample()).facts["request"] == "POST /v1/metrics HTTP/1.1"
    queues = open_queues(OtlpHttp(endpoint=BASE), Network())
    assert queues.find(payload(sample())) is queues.find(payload(sample(2.0)))
    assert queues.find(payload(sample())) is not queues.find(payload(record("x")))


def test_compression() -> None:
    """The body is packed whole, and its header says so; the same events are the same bytes."""
    plain, packed = shown(record("x")), shown(record("x"), compression="gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert dict(packed.headers)["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in dict(plain.headers)
    assert shown(record("x"), compression="gzip") == packed


def test_the_users_headers_win() -> None:
    """What a gateway asks for stands in the request."""
    headers = dict(shown(record("x"), headers={"X-Tenant": "a"}).headers)
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["X-Tenant"] == "a"


def test_requests_are_joined_in_their_order() -> None:
    """Each record keeps its resource."""
    events = [record(name, labels={"job": name}) for name in ("a", "b", "c")]
    body = _compose(OtlpHttp(endpoint=BASE), [payload(event) for event in events])
    assert [found.body for found in exported_logs(body)] == ["a", "b", "c"]
    assert [dict(found.resource)["service.name"] for found in exported_logs(body)] == [
        "a",
        "b",
        "c",
    ]
