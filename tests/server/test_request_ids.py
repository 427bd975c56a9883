"""Every answer has an `X-Request-Id`, which is in the request's line of the log, too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from sonda.server.request_head import head_facts
from sonda.server.request_middleware import request_id
from tests.server.test_server import post
from tests.support.serving import Serving, serving

STDOUT: Final = (
    b'{"signal_type":"logs","labels":{},"log":{"severity":"info","message":"x"},'
    b'"encoder":{"type":"json_lines"},"sink":{"type":"stdout"}}'
)
HEX: Final = re.compile("[0-9a-f]{32}")


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    """Run a server that logs to debug, as JSON."""
    with serving("--log-format", "json", "--log-level", "debug") as running:
        yield running


def line_with(server: Serving, own_id: str) -> dict[str, Any]:
    """Find the line of a request."""
    line = server.wait_for_log(rf'.*"logger":"uvicorn.access","id":"{re.escape(own_id)}".*')[0]
    document: dict[str, Any] = json.loads(line)
    return document


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(STDOUT), 200),
        (post(b"{"), 400),
        (post(STDOUT.replace(b"stdout", b"teapot")), 400),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"PUT /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"GET /events HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_answer_has_an_id(server: Serving, request_bytes: bytes, status: int) -> None:
    """An event's, a probe's, the framework's and the protocol's; the log has a line with the same."""
    reply = server.ask(request_bytes)
    assert reply.status == status
    (own_id,) = reply.headers.get_all("x-request-id", [])
    assert HEX.fullmatch(own_id)
    line = line_with(server, own_id)
    assert line.get("status", status) == status


def test_the_callers_id_is_honoured(server: Serving) -> None:
    """It comes back as it was, and is the log's id."""
    reply = server.ask(post(STDOUT, b'X-Request-ID: deploy-7/"build"=12'))
    assert reply.headers["x-request-id"] == 'deploy-7/"build"=12'
    log = server.wait_for_log(r'.*"id":"deploy-7/\\"build\\"=12".*')[0]
    assert json.loads(log)["id"] == 'deploy-7/"build"=12'


@pytest.mark.parametrize(
    "given", [b"", b"a b", b"a\tb", b"\xc3\xa9", b"\x7f", b"x" * 129, b"a\x1b[31m"]
)
def test_a_bad_id_is_replaced(given: bytes) -> None:
    """What is not printable, has blanks, or is long, gets an id of ours."""
    facts = head_facts([(b"host", b"x"), (b"x-request-id", given)])
    own_id = request_id(facts.given_id)
    assert HEX.fullmatch(own_id)


def test_ids_differ() -> None:
    """Each request has an id of its own."""
    assert len({request_id() for _ in range(1000)}) == 1000


def test_workers_have_ids_of_their_own() -> None:
    """Workers are forked from one process, and still never give the same id."""
    with serving("--workers", "2") as server:
        replies = [server.ask(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(40)]
    assert len({reply.headers["x-request-id"] for reply in replies}) == 40


def test_an_events_line_tells_all(server: Serving) -> None:
    """One line per event: the request, what the event was, and what became of it."""
    reply = server.ask(post(STDOUT, b"X-Request-Id: whole-line"))
    line = line_with(server, "whole-line")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line.pop("client"))
    assert line == {
        "level": "info",
        "logger": "uvicorn.access",
        "id": "whole-line",
        "method": "POST",
        "path": "/events",
        "http_version": "1.1",
        "status": 200,
        "signal_type": "logs",
        "encoder": "json_lines",
        "sink": "stdout",
        "outcome": "delivered",
        "latency_ms": reply.document["latency_ms"],
        "tries": 1,
        "target": "stdout",
        "warnings": [],
    }
    assert server.log.count("whole-line") == 1


def test_a_failed_events_line_and_its_warnings_share_the_id(server: Serving) -> None:
    """What went wrong can be found by the id; a password of the URL cannot be found at all."""
    sink = b'"http_push","url":"http://me:pass-word@127.0.0.1:1/a-path?token=a-token"'
    body = STDOUT.replace(b'"stdout"', sink)
    reply = server.ask(post(body, b"X-Request-Id: failed"))
    assert reply.status == 502
    line = line_with(server, "failed")
    told = {name: line[name] for name in ("status", "sink", "outcome", "tries", "target")}
    assert told == {
        "status": 502,
        "sink": "http_push",
        "outcome": "rejected",
        "tries": 1,
        "target": "http://***@127.0.0.1:1",
    }
    loopback, clear = line["warnings"]
    assert "own loopback" in loopback
    assert "travel in clear" in clear
    server.wait_for_log(r'"id":"failed"[^\n]*no acknowledgement|Connection refused')
    marked = [json.loads(each) for each in server.log.splitlines() if '"id":"failed"' in each]
    warned = [each["message"] for each in marked if each["level"] == "warning"]
    assert warned == [loopback, clear, reply.document["detail"]]
    assert "pass-word" not in server.log


def test_a_line_of_text_has_the_same_fields() -> None:
    """The console's line is the access line, followed by what the event was."""
    with serving() as server:
        server.ask(post(STDOUT, b"X-Request-Id: as-text"))
        server.wait_for_log(
            r'INFO uvicorn\.access: 127\.0\.0\.1:\d+ - "POST /events HTTP/1\.1" 200 id=as-text '
            r"signal_type=logs encoder=json_lines sink=stdout outcome=delivered latency_ms=\d+ "
            r"tries=1 warnings=0 target=stdout\n"
        )
