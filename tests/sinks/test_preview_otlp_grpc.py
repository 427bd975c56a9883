"""The dry run of OTLP: what is shown is what arrives."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.support.collectors import LOGS, METRICS, accepts, collector
from tests.support.destinations import TIME_NS, http_destination, log_event
from tests.support.previews import assert_posted, metric_event, previewed, previewed_then_sent

SECRET: Final = "s3cr3t-of-mine"


def event_of(signal: str, sink: dict[str, Any]) -> dict[str, Any]:
    return log_event(sink, encoder="otlp") if signal == "logs" else metric_event(sink, "otlp")


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_otlp_grpc(signal: str) -> None:
    """Service, method, metadata and message of the call; who is asking is masked."""
    headers = {"X-Env": "prod", "X-Token": SECRET}
    with collector(accepts) as here:
        sink = {
            "type": "otlp_grpc",
            "endpoint": here.url.replace("//", "//u:p@"),
            "signal_type": signal,
            "headers": headers,
        }
        departure = previewed_then_sent(event_of(signal, sink))
        [called] = here.calls.items
    assert departure.headers == (("authorization", "***"), ("x-env", "prod"), ("x-token", "***"))
    shown = {**dict(departure.headers), "authorization": "Basic dTpw", "x-token": SECRET}
    assert shown.items() <= called.metadata.items()
    assert f"/{departure.facts['service']}/{departure.facts['method']}" == called.path
    assert called.path == (LOGS if signal == "logs" else METRICS)
    assert departure.body == called.body


def test_a_log_is_decoded() -> None:
    """OTLP's own JSON says what the bytes mean."""
    sink = {"type": "otlp_grpc", "endpoint": "http://collector:4317", "signal_type": "logs"}
    [resource] = previewed(event_of("logs", sink)).document()["decoded"]["resourceLogs"]
    [record] = resource["scopeLogs"][0]["logRecords"]
    assert record == {
        "timeUnixNano": str(TIME_NS),
        "observedTimeUnixNano": str(TIME_NS),
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": "hello"},
    }


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_otlp_over_http(signal: str) -> None:
    """The same bytes, posted."""
    with http_destination() as destination:
        sink = {"type": "http_push", "url": f"{destination.url}/v1/{signal}"}
        departure = previewed_then_sent(event_of(signal, sink))
        assert_posted(departure, destination)
