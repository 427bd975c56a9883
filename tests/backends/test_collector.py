"""Events in a real OpenTelemetry Collector: by gRPC, in clear and with TLS, and by HTTP."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import uuid4

import pytest

import sonda
from sonda.about import version
from sonda.pipeline.problems import Refused, Unreachable
from tests.support.bodies import LOG, METRIC, changed

from .collector import Collector, Found, Home
from .ledger import Ledger
from .sending import emit_all

WAYS = ["grpc", "grpc tls", "http", "otlp_http", "otlp_http gzip"]
TIME = "2026-03-23T15:29:02.483123456Z"
TIME_NS = 1_774_279_742_483_123_456
SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
TEXTS = [
    *("", " ", "a\nb\r\n\tc\n", "\x00\x01\x1b[31m\x7f\x85", 'a"b\\c', "naïve é€😀"),
    *("\N{LINE SEPARATOR}", "\ufeffa", "null", "1.0", "{}", "é" * 100_000),
]
VALUES = [0.1 + 0.2, -0.0, 0.0, 5e-324, 1.7976931348623157e308, -1.5, 2.0**53, 1e21]


def sink(home: Home, way: str, signal_type: str) -> dict[str, Any]:
    """Return the sink that sends this way."""
    match way:
        case "http":
            return {"type": "http_push", "url": f"http://{home.http}/v1/{signal_type}"}
        case "otlp_http":
            return {"type": "otlp_http", "endpoint": f"http://{home.http}"}
        case "otlp_http gzip":
            return {"type": "otlp_http", "endpoint": f"http://{home.http}", "compression": "gzip"}
        case "grpc":
            to: dict[str, Any] = {"endpoint": f"http://{home.grpc}"}
        case _:
            tls = {"ca_cert": str(home.certificates.ca_cert)}
            to = {"endpoint": f"https://{home.tls}", "tls": tls}
    return {"type": "otlp_grpc", "signal_type": signal_type, **to}


def log(home: Home, way: str, run: str, /, **changes: Any) -> dict[str, Any]:
    """Write the body of a log event that goes there this way, with a label of its own."""
    to = sink(home, way, "logs")
    body = changed(LOG, encoder={"type": "otlp"}, sink=to, labels={"run": run})
    return changed(body, **changes)


def metric(home: Home, way: str, run: str, /, **changes: Any) -> dict[str, Any]:
    """Write the body of a metric event likewise."""
    to = sink(home, way, "metrics")
    body = changed(METRIC, encoder={"type": "otlp"}, sink=to, labels={"run": run})
    return changed(body, **changes)


def of(run: str) -> Any:
    """Pick what one test has sent."""
    return lambda found: found.resource.get("run") == run


@pytest.mark.parametrize("way", WAYS)
def test_a_log_comes_out_as_it_went_in(collector: Collector, landed: Ledger, way: str) -> None:
    """Every part of the event is found where OpenTelemetry has a place for it."""
    run = uuid4().hex
    labels, fields = {"run": run, "service": "shop", "env": ""}, {"run": "a field wins", "": "x"}
    body = log(collector.home, way, run, labels=labels, log__fields=fields, timestamp=TIME)
    emit_all([body])
    [found] = collector.wait_for(of(run))
    landed.record(f"collector {way}", sent=1, found=1)
    assert found == Found(
        resource={**labels, "service.name": "shop"},
        attributes={**labels, **fields},
        scope=("sonda", version()),
        time_ns=TIME_NS,
        name="Deploy started",
        severity=(9, "INFO"),
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_metric_comes_out_as_it_went_in(collector: Collector, landed: Ledger, way: str) -> None:
    """A metric is a gauge with one data point, of the event's own time."""
    run = uuid4().hex
    emit_all([metric(collector.home, way, run, timestamp=TIME)])
    [found] = collector.wait_for(of(run))
    landed.record(f"collector {way}", sent=1, found=1)
    assert found == Found(
        resource={"run": run, "service.name": "sonda"},
        attributes={"run": run},
        scope=("sonda", version()),
        time_ns=TIME_NS,
        name="deploy_events_total",
        value=1.0,
    )


@pytest.mark.parametrize("way", WAYS)
def test_any_text_and_any_number(collector: Collector, landed: Ledger, way: str) -> None:
    """Texts and values come back as they were, to the last bit."""
    run = uuid4().hex
    home = collector.home
    emit_all(
        log(home, way, run, log__message=text, labels={"run": run, "k": text}) for text in TEXTS
    )
    emit_all(metric(home, way, run, metric__value=value) for value in VALUES)
    count = len(TEXTS) + len(VALUES)
    found = collector.wait_for(of(run), count=count)
    landed.record(f"collector {way}", sent=count, found=len(found))
    texts = [(each.name, each.attributes["k"]) for each in found if each.value is None]
    assert sorted(texts) == sorted((text, text) for text in TEXTS)
    values = [each.value for each in found if each.value is not None]
    assert sorted(map(repr, values)) == sorted(map(repr, VALUES))


@pytest.mark.parametrize("way", WAYS)
def test_every_severity(collector: Collector, landed: Ledger, way: str) -> None:
    """Each severity is OpenTelemetry's number for it."""
    run = uuid4().hex
    emit_all(log(collector.home, way, run, log__severity=severity) for severity in SEVERITIES)
    found = collector.wait_for(of(run), count=len(SEVERITIES))
    landed.record(f"collector {way}", sent=len(SEVERITIES), found=len(found))
    expected = [(number, name.upper()) for name, number in SEVERITIES.items()]
    assert sorted(each.severity for each in found if each.severity) == sorted(expected)


@pytest.mark.parametrize("way", WAYS)
def test_many_at_once(collector: Collector, landed: Ledger, way: str) -> None:
    """Each of many events at once is there, once."""
    run = uuid4().hex
    texts = [f"number {n} " + "x" * (n * 37 % 9000) for n in range(300)]
    emit_all(log(collector.home, way, run, log__message=text) for text in texts)
    found = collector.wait_for(of(run), count=len(texts))
    landed.record(f"collector {way}", sent=len(texts), found=len(found))
    assert sorted(each.name for each in found) == sorted(texts)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
@pytest.mark.parametrize("way", WAYS)
def test_a_restart_between_events(
    collector_home: Home, landed: Ledger, way: str, end: signal.Signals
) -> None:
    """While it is away events are refused; when it is back they are delivered, with none lost."""
    run = uuid4().hex

    async def send() -> list[Any]:
        async with sonda.Pipeline() as pipeline:
            with collector_home.running() as first:
                before = await pipeline.emit(log(collector_home, way, run, log__message="before"))
                await asyncio.to_thread(first.wait_for, of(run))  # in the file
                await asyncio.to_thread(first.process.stop, end)
            away = await pipeline.emit(log(collector_home, way, run, log__message="away"))
            with collector_home.running() as second:
                after = await pipeline.emit(log(collector_home, way, run, log__message="after"))
                found = await asyncio.to_thread(second.wait_for, of(run), count=2)
            return [before.unwrap(), away.failure(), after.unwrap(), found]

    _, away, _, found = asyncio.run(send())
    landed.record(f"collector {way}", sent=2, found=len(found))
    assert isinstance(away, Unreachable)
    assert away.reason == "Connection refused"
    assert [each.name for each in found] == ["before", "after"]


def test_without_the_certificate_it_wants_it_is_a_no(collector: Collector, landed: Ledger) -> None:
    """It drops the connection of a client that it does not know, and takes the one that it knows."""
    run, home = uuid4().hex, collector.home
    ours = home.certificates
    tls = {"ca_cert": str(ours.ca_cert)}
    to = {**sink(home, "grpc tls", "logs"), "endpoint": f"https://{home.mutual_tls}"}
    stranger = {"client_cert": str(ours.stranger_cert), "client_key": str(ours.stranger_key)}
    for shown in ({}, stranger):
        body = log(home, "grpc tls", run, sink={**to, "tls": tls | shown})
        assert isinstance(sonda.emit(body).failure(), Unreachable)
    known = {"client_cert": str(ours.client_cert), "client_key": str(ours.client_key)}
    emit_all([log(home, "grpc tls", run, sink={**to, "tls": tls | known})])
    found = collector.wait_for(of(run))
    landed.record("collector grpc tls", sent=1, found=len(found))
    assert len(found) == 1


def test_a_refusal_is_quoted(collector: Collector) -> None:
    """What it cannot read is a no."""
    to = sink(collector.home, "http", "metrics")
    problem = sonda.emit(log(collector.home, "http", "x", sink=to)).failure()
    assert isinstance(problem, Refused)
    assert problem.status == "400 Bad Request"
