"""`GET /metrics`, read by `prometheus_client`'s own parser: what a known mix of requests counts to."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from returns.result import Failure

from sonda.envelope import CODES
from sonda.observe.access_log import AccessRecord, target_of
from sonda.observe.families import FAMILIES, STAGES
from sonda.observe.metrics import Metrics, replace_worker, slabs
from sonda.observe.record import ENCODERS, OUTCOMES, SIGNALS, SINKS
from sonda.observe.scenario_metrics import scenario_families
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.problems import Invalid, Malformed, OutcomeUnknown
from sonda.server.app import assemble
from sonda.server.settings import Settings
from tests.server.test_http import Pipe, ask, assert_refused
from tests.server.test_server import children_of, post, slow_destination
from tests.support.destinations import http_destination
from tests.support.serving import Serving, serving

Counts = dict[tuple[str, tuple[tuple[str, str], ...]], float]

LOG: Final = {
    "signal_type": "logs",
    "labels": {},
    "log": {"severity": "info", "message": "x"},
    "encoder": {"type": "json_lines"},
}
STDOUT: Final = {**LOG, "sink": {"type": "stdout"}}
RETRY: Final = {"max_attempts": 2, "initial_backoff": "1ms", "max_backoff": "1ms"}
SCRAPE: Final = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


def counts(exposition: str) -> Counts:
    """Take an exposition apart: a value for each name and its labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def scraped(server: Serving, key: str = "") -> Counts:
    """Ask a server."""
    header = f"Authorization: Bearer {key}\r\n" if key else ""
    reply = server.ask(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
    assert reply.status == 200
    return counts(reply.body.decode())


def found(told: Counts, name: str) -> dict[tuple[str, ...], float]:
    """Give the series of one metric, by the values of their labels in the order of the names."""
    return {
        tuple(value for _, value in labels): value
        for (metric, labels), value in told.items()
        if metric == name
    }


def event(sink: dict[str, Any]) -> bytes:
    """Write a request."""
    return post(json.dumps({**LOG, "sink": sink}).encode())


def test_every_outcome_is_counted() -> None:
    """Delivered, rejected after retries, unknown and invalid events, and requests that are none."""
    with http_destination() as away, slow_destination() as (slow, _), serving() as server:
        assert server.ask(event({"type": "stdout"})).status == 200
        failing = {"type": "http_push", "url": f"{away.url}/s/500"}
        assert server.ask(event({**failing, "retry": RETRY})).status == 502
        silent = {"type": "http_push", "url": slow, "timeout": "1s"}
        assert server.ask(event(silent)).status == 504
        assert server.ask(event({"type": "tcp", "address": "127.0.0.1:1"})).status == 502
        assert server.ask(event({"type": "tcp", "address": "x"})).status == 422
        assert server.ask(event({"type": "no such sink"})).status == 400
        assert server.ask(post(b"{")).status == 400
        assert server.ask(b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 404
        assert server.ask(b"PUT /events HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 405
        assert server.ask(b"nonsense\r\n\r\n").status == 400
        assert server.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
        told = scraped(server)
    assert found(told, "sonda_events_total") == {
        ("json_lines", "request", "delivered", "logs", "stdout"): 1,
        ("json_lines", "request", "rejected", "logs", "http_push"): 1,
        ("json_lines", "request", "unknown", "logs", "http_push"): 1,
        ("json_lines", "request", "rejected", "logs", "tcp"): 1,
        ("json_lines", "request", "invalid", "logs", "tcp"): 1,
        ("json_lines", "request", "invalid", "logs", "unknown"): 1,
        ("unknown", "request", "invalid", "unknown", "unknown"): 1,
    }
    assert found(told, "sonda_rejected_requests_total") == {
        ("bad_request", "400"): 1,
        ("not_found", "404"): 1,
        ("method_not_allowed", "405"): 1,
    }
    assert found(told, "sonda_retries_total") == {("http_push",): 2}
    pushes = {("stdout",): 1, ("http_push",): 4, ("tcp",): 1}
    assert found(told, "sonda_push_events_count") == pushes
    assert found(told, "sonda_push_events_sum") == pushes
    opened = found(told, "sonda_connections_opened_total")
    assert opened == {("http_push",): 2}
    assert found(told, "sonda_open_connections") == {("http_push",): 1}
    assert found(told, "sonda_inflight_requests") == {(): 0}
    spans = found(told, "sonda_stage_duration_seconds_count")
    assert {stage: spans["http_push", stage] for stage in STAGES} == dict.fromkeys(STAGES, 2)
    assert spans["tcp", "validation"] == 2
    assert spans["tcp", "acknowledgement"] == 1


def test_events_that_were_read_back_are_timed(tmp_path: Path) -> None:
    """By their sink; those that nobody looked for are not in it."""
    sink = {"type": "file", "path": "x.log"}
    with serving("--file-root", str(tmp_path)) as server:
        for more in ({}, {"verify": {"timeout": "5s"}}):
            one = post(json.dumps({**LOG, "sink": sink, **more}).encode())
            assert server.ask(one).status == 200
        told = scraped(server)
    assert found(told, "sonda_visible_seconds_count") == {("file",): 1}
    assert found(told, "sonda_stage_duration_seconds_count")["file", "acknowledgement"] == 2


def test_events_that_leave_together_are_one_push() -> None:
    """A slow destination's line combines what waits; every event is in exactly one push."""
    events = 40

    async def send(server: Serving) -> None:
        sink = {"type": "tcp", "address": f"127.0.0.1:{listener.getsockname()[1]}"}
        readers = []
        for _ in range(events):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            readers.append((reader, writer))
        for _, writer in readers:
            writer.write(event(sink))
        for reader, writer in readers:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener, serving() as server:
        asyncio.run(send(server))
        told = scraped(server)
    assert found(told, "sonda_push_events_sum") == {("tcp",): events}
    pushes = found(told, "sonda_push_events_count")[("tcp",)]
    assert 1 <= pushes <= events
    assert found(told, "sonda_open_connections")[("tcp",)] >= 1
    waits = found(told, "sonda_stage_duration_seconds_count")
    assert waits["tcp", "waiting"] == waits["tcp", "acknowledgement"] == events


def test_several_workers_are_told_together() -> None:
    """Whichever worker is asked, it knows what all have counted, those that have died included."""
    with serving("--workers", "3") as server:
        for _ in range(30):
            assert server.ask(event({"type": "stdout"})).status == 200
        for _ in range(6):
            assert delivered(server) == 30
        victim = min(children_of(server))
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log(rf"worker {victim} ended with -9")
        for _ in range(10):
            assert server.ask(event({"type": "stdout"})).status == 200
        assert delivered(server) == 40
        assert found(scraped(server), "sonda_worker_restarts_total") == {(): 1}
        assert server.stop() == 0


def delivered(server: Serving) -> float:
    """Say how many events there were."""
    return found(scraped(server), "sonda_events_total")[
        "json_lines", "request", "delivered", "logs", "stdout"
    ]


def test_a_dead_worker_has_nothing_open() -> None:
    """Its counts stay, its gauges do not; the next worker goes on with both."""
    shared = slabs(2)
    first, second = Metrics(shared, 0), Metrics(shared, 1)
    first.connection_opened("tcp")
    first.inflight(5)
    second.connection_opened("tcp")
    second.connection_closed("tcp")
    second.connection_opened("loki")
    second.inflight(2)
    replace_worker(shared[0])
    told = counts(second.answer("")[0].decode())
    assert found(told, "sonda_connections_opened_total") == {("tcp",): 2, ("loki",): 1}
    assert found(told, "sonda_open_connections") == {("loki",): 1}
    assert found(told, "sonda_inflight_requests") == {(): 2}
    assert found(told, "sonda_worker_restarts_total") == {(): 1}


def test_metrics_are_behind_the_key() -> None:
    """Without it 401, and that is counted, too; health is not asked for any."""
    with serving(environ={"SONDA_API_KEY": "the-key"}) as server:
        refused = server.ask(SCRAPE)
        assert (refused.status, refused.document["error"]) == (401, "unauthorized")
        told = scraped(server, "the-key")
    assert found(told, "sonda_rejected_requests_total") == {("unauthorized", "401"): 1}


def test_metrics_are_told_to_this_machine_alone() -> None:
    """The `Host` is checked as it is for events, the method, too, and a parameter is refused."""
    app = assemble(Settings(), Pipe())
    stranger = [(b"host", b"evil.example")]
    assert_refused(asyncio.run(ask(app, "GET", "/metrics", headers=stranger)), 403, "forbidden")
    assert_refused(asyncio.run(ask(app, "POST", "/metrics")), 405, "method_not_allowed")
    asked = asyncio.run(ask(app, "GET", "/metrics", query=b"name[]=x", headers=()))
    assert_refused(asked, 400, "bad_request")


def test_a_busy_server_is_still_asked() -> None:
    """A scrape takes no place among the requests in flight: it is to show that there is none left."""
    app = assemble(Settings(max_inflight_requests=0), Pipe())
    assert_refused(asyncio.run(ask(app)), 503, "service_unavailable")
    assert asyncio.run(ask(app, "GET", "/metrics", headers=())).status == 200


def test_the_scraper_chooses_the_format() -> None:
    """OpenMetrics for whoever prefers it, and compressed for whoever takes that."""
    app = assemble(Settings(), Pipe())
    accept = (b"accept", b"application/openmetrics-text; version=1.0.0")
    gzipped = (b"accept-encoding", b"gzip")
    reply = asyncio.run(ask(app, "GET", "/metrics", headers=(accept, gzipped)))
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-encoding"] == "gzip"
    text = gzip.decompress(reply.body).decode()
    families = parse_openmetrics(text)  # type: ignore[no-untyped-call]  # it does not tell its types
    assert {family.name for family in families} == {
        *(family.name for family in FAMILIES),
        "sonda_build_info",
    }
    plain = asyncio.run(ask(app, "GET", "/metrics", headers=()))
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in plain.headers
    assert ("sonda_worker_restarts_total", ()) in counts(plain.body.decode())


def test_label_values_are_bounded() -> None:
    """Whatever a body says, its series has names of the schemas."""
    metrics = Metrics()
    names: list[Any] = ["x" * 9999, "stdout", None, 7, {}, []]
    for name in names:
        delivery = Delivery()
        delivery.document = {"signal_type": name, "encoder": {"type": name}, "sink": {"type": name}}
        metrics.finished(delivery, Failure(Malformed(())))
        delivery.document = {"signal_type": name, "encoder": name, "sink": name}
        metrics.finished(delivery, Failure(Invalid(())))
    told = found(counts(metrics.answer("")[0].decode()), "sonda_events_total")
    assert told == {
        ("unknown", "request", "invalid", "unknown", "unknown"): 11,
        ("unknown", "request", "invalid", "unknown", "stdout"): 1,
    }
    (events, *_) = FAMILIES
    assert dict(events.labels) == {
        "signal_type": SIGNALS,
        "encoder": ENCODERS,
        "sink": SINKS,
        "outcome": (*OUTCOMES.values(), "invalid"),
    }


@pytest.mark.parametrize("status", [status for status in CODES if status not in OUTCOMES])
def test_every_error_is_counted(status: int) -> None:
    """A request that did not become an event counts by its status and the contract's error code."""
    metrics = Metrics()
    metrics.answered(status)
    told = found(counts(metrics.answer("")[0].decode()), "sonda_rejected_requests_total")
    assert told == {(CODES[status], str(status)): 1}


@pytest.mark.parametrize(
    ("sink", "target"),
    [
        ({"type": "loki", "url": "http://me:pw@loki:3100/secret?token=x"}, "http://***@loki:3100"),
        ({"type": "http_push", "url": "https://hooks/T0/s3cret"}, "https://hooks"),
        ({"type": "otlp_grpc", "endpoint": "http://collector:4317"}, "http://collector:4317"),
        ({"type": "tcp", "address": "a:1"}, "a:1"),
        ({"type": "kafka", "brokers": "a:1,b:2", "topic": "t"}, "a:1,b:2"),
        ({"type": "file", "path": "a\nb.log"}, "a\\nb.log"),
        ({"type": "stdout"}, "stdout"),
    ],
)
def test_a_target_is_no_secret(sink: dict[str, str], target: str) -> None:
    """Of a URL only scheme and host are told: a webhook's path is a password."""
    assert target_of(json.dumps(sink)) == target


def test_a_library_counts_nothing() -> None:
    """`sonda.emit` loads neither prometheus_client nor structlog."""
    script = (
        f"import sonda, sys; sonda.emit({STDOUT!r})\n"
        "print({'prometheus_client', 'structlog', 'sonda.observe.metrics'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.endswith("\nset()\n")


def documented(heading: str) -> set[str]:
    """Give what stands in backquotes in the first column of a part's tables."""
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    part = re.split(rf"^#+ {heading}$", page, maxsplit=1, flags=re.MULTILINE)[1]
    part = re.split(r"^#+ ", part, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (`.+?) \|", part, re.MULTILINE)
    return {name for row in rows for name in re.findall("`([^`]+)`", row)}


def test_every_metric_is_documented() -> None:
    """`docs/operating.md` has each of them, by the name that a query uses, and no other."""
    suffixes = {"counter": "_total"}
    names = {
        family.name + suffixes.get(family.kind("x", "x", labels=()).type, "") for family in FAMILIES
    }
    status = {"states": {}, "degraded": 0, "lag_s": 0.0, "unrecorded": None}
    names |= {family.name for family in scenario_families(status)}
    assert documented("Metrics") == names | {"sonda_build_info"}


def test_every_field_of_a_line_is_documented() -> None:
    """The log's fields, and the alerts."""
    request = {"client", "method", "path", "http_version", "status"}
    every = {"time", "level", "logger", "message", "exception", "id"}
    assert documented("Logs") == every | request | {*AccessRecord.__struct_fields__}
    alerts = (Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yaml").read_text(
        "utf-8"
    )
    assert documented("Alerts") == {*re.findall(r"- alert: (\w+)", alerts)}


def test_a_cut_off_event_is_unknown() -> None:
    """When the grace period ends, an event on its way is counted as what it is answered."""
    delivery = Delivery()
    metrics = Metrics()
    delivery.document = json.loads(json.dumps(STDOUT))
    metrics.finished(delivery, Failure(OutcomeUnknown("stdout", "(cut off)", 0)))
    told = found(counts(metrics.answer("")[0].decode()), "sonda_events_total")
    assert told == {("json_lines", "request", "unknown", "logs", "stdout"): 1}
