"""Real `sonda-server` processes, and clients that do not behave."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from sonda.server import main
from sonda.server.protocol import LINGER_BYTES, PIPELINE_LIMIT
from sonda.server.request_head import HEAD_LIMIT_BYTES
from tests.support.bodies import LOG, changed
from tests.support.bodies import raw as written
from tests.support.destinations import tcp_destination
from tests.support.ports import free_ports
from tests.support.serving import PATIENCE_S, Reply, Serving, serving

MAX_BODY_BYTES = 5000
JSON_TYPE = b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the shared server writes files below."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    """A server that the tests of this file share; each leaves it alive."""
    flags = ("--max-body-bytes", str(MAX_BODY_BYTES), "--file-root", str(folder))
    with serving(*flags) as running:
        yield running
        assert running.stop() == 0
        assert running.printed == b""
        assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def impatient() -> Iterator[Serving]:
    """A server that waits for nothing longer than a second."""
    with serving("--request-timeout", "1", "--keep-alive", "1") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def post(
    body: bytes, *headers: bytes, length: int | None = None, path: bytes = b"/events"
) -> bytes:
    """Write a `POST` with a length."""
    length = len(body) if length is None else length
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n" % (
        path,
        JSON_TYPE,
        length,
    )
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def post_chunked(*chunks: bytes, last: bytes = b"0\r\n\r\n", headers: bytes = b"") -> bytes:
    """Write a `POST` without a length."""
    head = b"POST /events HTTP/1.1\r\nHost: localhost\r\n%bTransfer-Encoding: chunked\r\n%b\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head % (JSON_TYPE, headers) + body + last


def to_file(name: str, **changes: Any) -> bytes:
    """Write a body whose event goes to a file below the server's root."""
    return written(changed(LOG, sink={"type": "file", "path": name}, **changes))


@contextmanager
def slow_destination() -> Iterator[tuple[str, socket.socket]]:
    """Listen as an HTTP destination whose answers the test gives itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", listener


def to_http(url: str) -> bytes:
    """Write a request whose event goes to *url*."""
    return post(written(changed(LOG, sink={"type": "http_push", "url": url})))


def assert_refused(reply: Reply, status: int, error: str) -> None:
    """Expect the envelope."""
    warnings = ["warnings"] if "warnings" in reply.document and status in (502, 504) else []
    assert (reply.status, list(reply.document)) == (status, ["error", "detail", *warnings])
    assert reply.document["error"] == error
    assert reply.document["detail"]


def assert_alive(server: Serving) -> None:
    """Expect that others are still served."""
    assert server.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").body == b'{"status":"ok"}'


GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nonsense": b"ceci n'est pas une requete\r\n\r\n",
    "bytes": bytes(range(256)) * 10,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": b"GET /health HTTP/2.0\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "bare LF": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "control character in the target": b"GET /hea\x01lth HTTP/1.1\r\n\r\n",
    "bytes over 127 in the target": b"GET /\xff?\xff HTTP/1.1\r\n\r\n",
    "no path": b"GET http://sonda HTTP/1.1\r\n\r\n",
    "CONNECT to a host": b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
    "CONNECT in an old version": b"CONNECT /events HTTP/0.9\r\n\r\n",
    "h2c in an old version": (
        b"GET /health HTTP/0.9\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    ),
    "space in a name": b"GET /health HTTP/1.1\r\nA b: c\r\n\r\n",
    "NUL in a value": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: \x00\r\n\r\n",
    "folded header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n",
    "negative length": b"POST /events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"POST /events HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "two lengths": b"POST /events HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": (
        b"POST /events HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"
    ),
}


@pytest.mark.parametrize("request_bytes", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_400(server: Serving, request_bytes: bytes) -> None:
    """What is no HTTP/1.1 gets the envelope, and the connection is closed."""
    with server.connect() as client:
        client.send(request_bytes)
        reply = client.reply()
        assert_refused(reply, 400, "bad_request")
        assert reply.headers["connection"] == "close"
        client.end()
        assert client.is_closed()
    assert_alive(server)


HUGE_HEADS = {
    "one header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 10_000_000,
    "many headers": b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 1_000_000,
    "target": b"GET /" + b"a" * 10_000_000,
    "target just over": b"GET /%b HTTP/1.1\r\n\r\n" % (b"a" * HEAD_LIMIT_BYTES),
    "just over": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: "
    + b"a" * HEAD_LIMIT_BYTES
    + b"\r\n\r\n",
}


@pytest.mark.parametrize("head", HUGE_HEADS.values(), ids=HUGE_HEADS)
def test_huge_heads_are_431(server: Serving, head: bytes) -> None:
    """A request line and headers over the limit are refused while they arrive."""
    with server.connect() as client:
        client.send(head)
        assert_refused(client.reply(), 431, "request_header_fields_too_large")
        client.end()
        assert client.is_closed()
    assert_alive(server)


def test_large_heads_are_served(server: Serving) -> None:
    """Headers below the limit are fine, in pieces and after a large body, too."""
    large = b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: %b\r\n\r\n" % (
        b"a" * (HEAD_LIMIT_BYTES - 1000)
    )
    with server.connect() as client:
        client.send(large[:30_000], large[30_000:])
        assert client.reply().status == 200
        client.send(post(b" " * MAX_BODY_BYTES) + large[:60_000], large[60_000:])
        assert client.reply().status == 400
        assert client.reply().status == 200


def test_a_silent_connection_is_closed(impatient: Serving) -> None:
    """Who says nothing is not kept, not even with empty lines, and neither when kept alive."""
    with impatient.connect() as silent, impatient.connect() as blank, impatient.connect() as idle:
        blank.send(b"\r\n")
        idle.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.reply().status == 200
        assert silent.is_closed()
        assert blank.is_closed()
        assert idle.is_closed()
    assert_alive(impatient)


def test_half_a_head_is_408(impatient: Serving) -> None:
    """Headers that do not come to an end are not awaited, on a fresh or a used connection."""
    health, half = (
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: ",
    )
    with impatient.connect() as fresh, impatient.connect() as used, impatient.connect() as piped:
        fresh.send(half)
        used.send(health)
        piped.send(health + half)
        assert used.reply().status == piped.reply().status == 200
        used.send(half)
        for client in (fresh, used, piped):
            assert_refused(client.reply(), 408, "request_timeout")
            client.end()
            assert client.is_closed()
    assert_alive(impatient)


def test_half_a_body_is_408(impatient: Serving) -> None:
    """A body that does not come to an end is not awaited."""
    with impatient.connect() as stuck, impatient.connect() as chunked:
        stuck.send(post(b"{", length=2))
        chunked.send(post_chunked(b"{", last=b""))
        assert_refused(stuck.reply(), 408, "request_timeout")
        assert_refused(chunked.reply(), 408, "request_timeout")
    assert_alive(impatient)


def test_a_slow_body_is_served(server: Serving) -> None:
    """A request may come byte by byte."""
    request = post(to_file("slow.log"))
    with server.connect() as client:
        client.send(*(request[i : i + 1] for i in range(len(request))))
        assert client.reply().document["sent"] is True
        chunked = post_chunked(*(bytes([byte]) for byte in to_file("slow.log")))
        client.send(*(chunked[i : i + 1] for i in range(len(chunked))))
        assert client.reply().document["sent"] is True


CUT_SHORT = {
    "length": post(to_file("cut.log"), length=4000),
    "chunks": post_chunked(to_file("cut.log"), last=b""),
    "last chunk": post_chunked(to_file("cut.log"), last=b"0\r\n"),
    "bad chunk": post_chunked(to_file("cut.log"), last=b"zz\r\n"),
}


@pytest.mark.parametrize("request_bytes", CUT_SHORT.values(), ids=CUT_SHORT)
def test_a_body_cut_short_is_not_sent(server: Serving, folder: Path, request_bytes: bytes) -> None:
    """A whole event in a broken body is not delivered, whether the client can still read or not."""
    with server.connect() as client:
        client.send(request_bytes)
        client.end()
        assert_refused(client.reply(), 400, "bad_request")
        assert client.is_closed()
    with server.connect() as client:
        client.send(request_bytes)
    assert_alive(server)
    assert not (folder / "cut.log").exists()


def test_a_head_cut_short_is_400(server: Serving) -> None:
    """Half a head gets an answer, if the client waits for one."""
    with server.connect() as client:
        client.send(b"POST /events HTTP/1.1\r\nContent-Le")
        client.end()
        assert_refused(client.reply(), 400, "bad_request")
        assert client.is_closed()
    assert_alive(server)


def test_who_sends_no_more_can_still_read(server: Serving) -> None:
    """A client may end its side once it has asked, pipelined requests included."""
    with server.connect() as client:
        client.send(post(to_file("end.log")) * 3)
        client.end()
        for _ in range(3):
            assert client.reply().document["sent"] is True
        assert client.is_closed()


OVER = b" " * (MAX_BODY_BYTES + 1)


@pytest.mark.parametrize(
    "request_bytes",
    [post(OVER), post(b"", length=MAX_BODY_BYTES + 1), post_chunked(*[b" " * 100] * 60)],
    ids=["length", "length alone", "chunks"],
)
def test_a_body_over_the_limit_is_413(server: Serving, request_bytes: bytes) -> None:
    """The limit holds with and without a length; exactly at it a body is read."""
    with server.connect() as client:
        client.send(request_bytes)
        assert_refused(client.reply(), 413, "payload_too_large")
    assert_refused(server.ask(post(OVER[1:])), 400, "bad_request")
    assert_alive(server)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b"", length=10_000_000), 413),
        (post(b"", length=10_000_000).replace(b"json", b"xml"), 415),
        (post(b"", length=10_000_000, path=b"/nowhere"), 404),
        (post(b"", length=10_000_000).replace(b"POST", b"PUT"), 405),
    ],
)
def test_an_early_answer_can_be_read(server: Serving, request_bytes: bytes, status: int) -> None:
    """Who goes on sending a refused body still gets the answer, and then the end."""
    with server.connect() as client:
        client.send(request_bytes, *[b" " * 100_000] * 100)
        reply = client.reply()
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert client.is_closed()
    assert_alive(server)


def test_an_endless_body_is_cut_off(server: Serving) -> None:
    """Of a refused body only so much is taken."""
    chunk = b"%x\r\n%b\r\n" % (1_000_000, b" " * 1_000_000)
    with server.connect() as client:
        client.send(post_chunked(last=b""))
        with pytest.raises(ConnectionError):  # noqa: PT012  # any of the sends may be the one
            for _ in range(2 * LINGER_BYTES // 1_000_000 + 64):
                client.send(chunk)
    assert_alive(server)


def test_expect_is_ignored_in_http_1_0(server: Serving) -> None:
    """An HTTP/1.0 client would take `100 Continue` for its answer."""
    body = to_file("expect.log")
    request = post(body, b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    with server.connect() as client:
        client.send(request[: -len(body)], body)
        assert client.answers.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("path", ["/ready", "/health", "/events", "/nope"])
@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("HTTP/1.1\r\n", "no Host header"),
        ("HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n", "more than one Host header"),
        ("HTTP/1.0\r\nHost: a\r\nHost: b\r\n", "more than one Host header"),
    ],
)
def test_a_request_has_one_host(server: Serving, path: str, head: str, reason: str) -> None:
    """HTTP/1.1 wants exactly one `Host`, whatever the path is; HTTP/1.0 at most one."""
    reply = server.ask(f"GET {path} {head}\r\n".encode())
    assert_refused(reply, 400, "bad_request")
    assert reason in reply.document["detail"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("", 400),
        (f"Host: localhost\r\nX: {'x' * 70_000}\r\n", 431),
        ("Host: x\r\nHost: y\r\n", 400),
    ],
)
def test_a_head_is_refused_in_the_form_that_it_asks_for(
    server: Serving, head: str, status: int
) -> None:
    """Problem details and `receipt=true` hold for what never reaches the app, too."""
    target = "POST /events?receipt=true HTTP/1.1\r\nAccept: application/problem+json\r\n"
    reply = server.ask(f"{target}{head}\r\n".encode())
    assert reply.headers["content-type"] == "application/problem+json"
    document = json.loads(reply.body)
    issues = ["issues"] if status == 400 else []
    names = ["error", "detail", "outcome", "resend", *issues, "type", "title", "status"]
    assert list(document) == names
    assert (document["status"], document["outcome"]) == (status, "not_sent")


def test_an_idle_connection_is_kept() -> None:
    """An idle connection outlives the request timeout: load balancers keep theirs for a minute."""
    with serving("--request-timeout", "1") as server, server.connect() as client:
        health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.send(health)
        assert client.reply().status == 200
        time.sleep(1.5)
        client.send(health)
        assert client.reply().status == 200


def test_expect_100_continue(server: Serving) -> None:
    """A client that asks first is told to go on, or gets its refusal without sending a byte."""
    body = to_file("expect.log")
    with server.connect() as client:
        client.send(post(b"", b"Expect: 100-continue", length=len(body)))
        assert client.answers.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert client.answers.readline() == b"\r\n"
        client.send(body)
        assert client.reply().document["sent"] is True
        client.send(post(b"", b"Expect: 100-continue", length=2_000_000))
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE  # whose phrase is another from Python 3.13 on
        assert client.answers.readline() == f"HTTP/1.1 413 {status.phrase}\r\n".encode()


UPGRADES = {
    "Java": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAA"),
    "WebSocket": (b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"),
}


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
def test_an_offered_upgrade_is_declined(server: Serving, offer: tuple[bytes, ...]) -> None:
    """The request is served as it is, however its body comes, and the connection goes on."""
    body = to_file("upgrade.log")
    whole, head = post(body, *offer), post(b"", *offer, length=len(body))
    chunked = post_chunked(body[:50], body[50:], headers=b"\r\n".join([*offer, b""]))
    with server.connect() as client:
        for chunks in ([whole], [head, body], [head[:80], head[80:] + body[:9], body[9:]]):
            client.send(*chunks)
            assert client.reply().document["sent"] is True
        client.send(chunked)
        assert client.reply().document["sent"] is True
        client.send(chunked[:300], chunked[300:])
        assert client.reply().document["sent"] is True
        client.send(whole + chunked + whole + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(3):
            assert client.reply().document["sent"] is True
        assert client.reply().document == {"status": "ok"}


@pytest.mark.parametrize(
    "method",
    ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "post", "BREW"],
)
def test_other_methods_are_405(server: Serving, method: str) -> None:
    """Every method but the right one is refused with the one to use, unknown ones included."""
    with server.connect() as client:
        client.send(
            b"%b /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
            % method.encode()
        )
        reply = client.reply(method)
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
        assert reply.headers["content-type"] == "application/json"
        if method != "HEAD":
            assert reply.document["error"] == "method_not_allowed"
            assert method in reply.document["detail"]
        client.send(post(to_file("method.log")))
        assert client.reply().document["sent"] is True


def test_pipelined_requests_are_answered_in_order(server: Serving) -> None:
    """Answers come in the order of the requests, broken ones in their turn."""
    event, health = (
        post(to_file("pipelined.log")),
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    with server.connect() as client:
        client.send(event + health + event + post(b"[]") + b"rubbish\r\n\r\n")
        assert client.reply().document["sent"] is True
        assert client.reply().document == {"status": "ok"}
        assert client.reply().document["sent"] is True
        assert_refused(client.reply(), 400, "bad_request")
        assert_refused(client.reply(), 400, "bad_request")
        client.end()
        assert client.is_closed()


def test_a_flood_of_requests_is_bounded(server: Serving) -> None:
    """Only so many requests wait on one connection; those are answered, and then the client."""
    with server.connect() as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * (10 * PIPELINE_LIMIT))
        for _ in range(PIPELINE_LIMIT):
            assert client.reply().status == 200
        while (reply := client.reply()).status == 200:
            pass
        assert_refused(reply, 400, "bad_request")
    assert_alive(server)


def test_unread_answers_are_not_kept(impatient: Serving) -> None:
    """A client that does not read what it asked for is cut off."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = impatient.ask(request).body
    with impatient.connect() as client:
        client.send(request * 200)
        impatient.wait_for_log("the answer was not read")
        read = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.raw.recv(65536):
                read += len(chunk)
        assert read < 200 * len(answer)
    assert_alive(impatient)


def test_http_1_0(server: Serving) -> None:
    """HTTP/1.0 is served, and closed."""
    with server.connect() as client:
        client.send(post(to_file("old.log")).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.reply().document["sent"] is True
        assert client.is_closed()


def test_trailers_are_no_headers(server: Serving) -> None:
    """What follows a chunked body changes nothing."""
    trailer = b"0\r\nContent-Encoding: gzip\r\n\r\n"
    assert server.ask(post_chunked(to_file("t.log"), last=trailer)).document["sent"] is True


def test_an_answer_is_written_at_once(server: Serving) -> None:
    """Head and body come in one piece, so that a client need not wait for the second half."""
    with server.connect() as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.raw.recv(65536).endswith(b'\r\n\r\n{"status":"ok"}')


def test_no_banner(server: Serving) -> None:
    """The server says when, but not what it is."""
    reply = server.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert "server" not in reply.headers
    assert "date" in reply.headers


def test_a_client_that_hangs_up_does_not_stop_its_event(server: Serving) -> None:
    """The event arrives, although nobody waits for the answer."""
    with tcp_destination() as destination:
        with server.connect() as client:
            client.send(post(written(changed(LOG, sink__address=destination.address))))
        (line,) = destination.received.wait_for(1)
        assert json.loads(line)["message"] == "Deploy started"
    assert_alive(server)


def test_a_reset_does_not_upset_the_server() -> None:
    """A client that resets its connection, with requests waiting, leaves no traceback."""
    with slow_destination() as (url, listener), serving() as server:
        with server.connect() as client:
            client.send(to_http(url) * 3)
            destination, _ = listener.accept()
            linger_for_no_time = struct.pack("ii", 1, 0)
            client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
        with destination:
            assert destination.recv(65536)
            destination.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            server.wait_for_log('"POST /events HTTP/1.1" 200')
        assert_alive(server)
        assert server.stop() == 0
        assert server.log.count("POST /events HTTP") == 1
        assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_answers_what_is_in_flight(workers: str, number: signal.Signals) -> None:
    """A request that waits for its destination, or is half-way in, gets its answer; then exit 0."""
    with (
        slow_destination() as (url, listener),
        serving("--workers", workers) as server,
        server.connect() as waiting,
        server.connect() as arriving,
        server.connect(),
    ):
        waiting.send(to_http(url))
        arriving.send(post(b"", b"Expect: 100-continue", length=1))
        assert arriving.answers.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert arriving.answers.readline() == b"\r\n"
        destination, _ = listener.accept()
        with destination:
            server.process.send_signal(number)
            server.wait_for_log("stopping")
            arriving.send(b"!")
            assert_refused(arriving.reply(), 400, "bad_request")
            assert destination.recv(65536)
            destination.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert waiting.reply().status == 200
        assert waiting.is_closed()
        assert server.wait() == 0
        assert server.printed == b""
        assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_says_that_it_listens_can_be_stopped(workers: str) -> None:
    """Its line is logged once the signals have their handlers; no worker is left behind."""
    with serving("--workers", workers) as server:
        assert server.stop() == 0
        server.wait_for_end_of_log()
        assert "Traceback" not in server.log


def test_the_grace_period_ends() -> None:
    """What is not done by then is answered as unknown, or as not begun; the exit status is 0."""
    with (
        slow_destination() as (url, listener),
        serving("--shutdown-timeout", "1") as server,
        server.connect() as waiting,
        server.connect() as arriving,
    ):
        waiting.send(to_http(url))
        arriving.send(post(b"", b"Expect: 100-continue", length=1))
        assert arriving.answers.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert arriving.answers.readline() == b"\r\n"
        destination, _ = listener.accept()
        with destination:
            server.process.send_signal(signal.SIGTERM)
            assert_refused(waiting.reply(), 504, "gateway_timeout")
            reply = arriving.reply()
            assert_refused(reply, 503, "service_unavailable")
            assert reply.headers["retry-after"]
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_half_a_request_does_not_delay_the_stop() -> None:
    """A head that has not arrived is no request in flight."""
    with serving("--shutdown-timeout", "1") as server, server.connect() as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
        assert client.reply().status == 200
        server.process.send_signal(signal.SIGTERM)
        assert client.is_closed()
        assert server.wait() == 0
        assert "exceeded" not in server.log


def test_a_second_ctrl_c_does_not_wait() -> None:
    """Who insists need not wait for the grace period, and sees no traceback."""
    with slow_destination() as (url, listener), serving() as server, server.connect() as waiting:
        waiting.send(to_http(url))
        destination, _ = listener.accept()
        with destination:
            server.process.send_signal(signal.SIGINT)
            server.wait_for_log("stopping")
            assert server.stop(signal.SIGINT) == 128 + signal.SIGINT
        assert "Traceback" not in server.log


def children_of(server: Serving) -> list[int]:
    """List the processes that a server has started."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_workers_share_the_port() -> None:
    """Several processes serve; when one dies another takes its place; the key shows in none."""
    key = "a-key-to-look-for"
    with serving("--workers", "2", environ={"SONDA_API_KEY": key}) as server:
        assert_alive(server)
        workers = children_of(server)
        assert len(workers) == 2
        for pid in [server.process.pid, *workers]:
            assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(workers[0], signal.SIGKILL)
        server.wait_for_log(rf"worker {workers[0]} ended with -9")
        assert_alive(server)
        assert server.stop() == 0
        assert server.printed == b""
        assert key not in server.log


def test_workers_do_not_outlive_their_parent() -> None:
    """When the parent is killed the workers stop as if they had been told to."""
    with serving("--workers", "2") as server:
        assert_alive(server)
        server.process.kill()
        assert server.wait() == -signal.SIGKILL
        server.wait_for_end_of_log()
        with pytest.raises(ConnectionRefusedError):
            assert_alive(server)


def test_stdout_carries_events_only() -> None:
    """The stdout sink has the standard output for itself."""
    with serving("--log-level", "debug") as server:
        event = changed(LOG, encoder={"type": "syslog"}, sink={"type": "stdout"})
        assert server.ask(post(written(event))).status == 200
        assert server.stop() == 0
        assert re.fullmatch(rb"<14>1 [^\n]+ Deploy started\n", server.printed)


def test_the_log_keeps_secrets_and_lines() -> None:
    """No key or header gets into the log, and no request breaks out of its line."""
    environ = {"SONDA_API_KEY": "right-key"}
    with serving("--log-level", "debug", environ=environ) as server:
        wrong = post(b"{}", b"Authorization: Bearer wrong-key", b"X-Token: token")
        assert_refused(server.ask(wrong), 401, "unauthorized")
        right = post(b"{}", b"Authorization: Bearer right-key", path=b"/events?x=%0aforged")
        assert_refused(server.ask(right), 400, "bad_request")
        path = b"/x%0aforged%1b[31m%c2%9b"
        assert_refused(server.ask(post(b"{}", path=path)), 404, "not_found")
        assert server.stop() == 0
    for line in server.log.splitlines():
        assert re.match(r"20[0-9-]+ [0-9:,]+ [A-Z]+ [a-z.]+: [ -~]+$", line)
    for secret in ("right-key", "wrong-key", "token"):
        assert secret not in server.log


@pytest.mark.parametrize(
    ("flags", "warns"),
    [
        (["--bind", "0.0.0.0"], True),  # noqa: S104  # that is what is warned about
        (["--bind", "0.0.0.0", "--api-key", "key"], False),  # noqa: S104
        (["--bind", "localhost"], False),
    ],
)
def test_an_open_server_warns(flags: list[str], warns: bool) -> None:
    """Listening to the world without a key is logged as a warning, and only that is."""
    with serving(*flags) as server:
        assert_alive(server)
        assert server.stop() == 0
        assert ("WARNING sonda: no --api-key" in server.log) is warns


def test_ipv6() -> None:
    """The URL of an IPv6 address has brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving("--bind", "::1") as server:
        assert "http://[::1]:" in server.log
        assert_alive(server)


def test_a_taken_port_is_said(server: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """The server ends with a line that names address, port and reason."""
    assert main(["--port", str(server.port)]) == 1
    assert f"cannot listen on 127.0.0.1 port {server.port}" in caplog.text
    assert "Address already in use (--port takes another one" in caplog.text


def test_an_address_of_another_machine_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """In the system's own words, with the flag that helps."""
    assert main(["--bind", "192.0.2.1", "--port", "0"]) == 1
    said = "cannot listen on 192.0.2.1 port 0: Cannot assign requested address (--bind takes"
    assert said in caplog.text


def test_version() -> None:
    """The command says which version it is."""
    command = [sys.executable, "-m", "sonda.server", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert re.fullmatch(r"sonda \S+( \S+)?\n", done.stdout)


@pytest.mark.parametrize(("level", "probes"), [("info", 0), ("debug", 1)])
def test_probes_are_not_logged(level: str, probes: int) -> None:
    """The access log has events and failures; a probe that finds all well only to debug."""
    with serving("--log-level", level) as server:
        assert server.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
        assert server.ask(b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 404
        server.wait_for_log('"GET /nope HTTP/1.1" 404')
        assert server.log.count("GET /health HTTP") == probes


# --- what a process is started with --------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_descriptors(closed: str, workers: str, tmp_path: Path) -> None:
    """A server whose standard descriptors are closed serves, and ends with 0."""
    (port,) = free_ports(1)
    arguments = f"-m sonda.server --port {port} --workers {workers} --file-root {tmp_path}"
    command = f"exec {sys.executable} {arguments} {closed}"
    with subprocess.Popen(["/bin/sh", "-c", command], stderr=subprocess.DEVNULL) as process:
        try:
            server = Serving(process, None, "127.0.0.1", port)  # type: ignore[arg-type]
            for _ in range(1200):  # a minute: of two workers each imports all
                with contextlib.suppress(ConnectionRefusedError):
                    assert_alive(server)
                    break
                time.sleep(0.05)
            assert server.ask(post(to_file("closed.log"))).document["sent"] is True
            descriptors = Path(f"/proc/{process.pid}/fd")
            for number, operator in enumerate(("<&-", " >&-", " 2>&-")):
                if operator in f" {closed}":
                    assert (descriptors / str(number)).readlink() == Path(os.devnull)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def test_a_deleted_folder(tmp_path: Path) -> None:
    """The server starts where the current folder is gone; help is shown."""
    gone = tmp_path / "gone"
    program = (
        f"mkdir -p {gone} && cd {gone} && rmdir {gone} && exec {sys.executable} -m sonda.server"
    )
    helped = subprocess.run(
        ["/bin/sh", "-c", f"{program} --help"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (helped.returncode, helped.stderr) == (0, "")
    command = ["/bin/sh", "-c", f"{program} --port 0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        listening = re.search(r"http://127.0.0.1:(\d+) ", process.stderr.readline())
        assert listening is not None
        server = Serving(process, None, "127.0.0.1", int(listening[1]))  # type: ignore[arg-type]
        reply = server.ask(post(to_file("nowhere.log")))
        assert (reply.status, "No such file or directory" in reply.document["detail"]) == (
            502,
            True,
        )
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_nobody_reads(workers: str, tmp_path: Path) -> None:
    """Events, probes and the end of the server wait for no reader of standard error."""
    (port,) = free_ports(1)
    readable, writable = os.pipe()
    command = [sys.executable, "-m", "sonda.server", "--port", str(port), "--workers", workers]
    folder = ["--file-root", str(tmp_path), "--log-level", "debug"]
    with subprocess.Popen([*command, *folder], stderr=writable) as process:
        os.close(writable)
        try:
            server = Serving(process, None, "127.0.0.1", port)  # type: ignore[arg-type]
            for _ in range(1200):  # a minute, as above
                with contextlib.suppress(ConnectionRefusedError):
                    assert_alive(server)
                    break
                time.sleep(0.05)
            with server.connect() as client:
                for _ in range(10):
                    client.send(post(to_file("unread.log")) * 200)
                    for _ in range(200):
                        assert client.reply().document["sent"] is True
            long_path = b"GET /" + b"x" * 150 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
            with server.connect() as client:
                for _ in range(60):
                    client.send(long_path * 100)
                    for _ in range(100):
                        assert client.reply().status == 404
            scraped = server.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").body.decode()
            dropped = re.search(
                r"^sonda_log_lines_dropped_total ([0-9.e+]+)$", scraped, re.MULTILINE
            )
            assert dropped is not None
            assert float(dropped[1]) > 0
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            os.close(readable)


def test_a_locale_that_cannot_write_a_path(tmp_path: Path) -> None:
    """A path is UTF-8 where the locale lacks its characters; no other locale makes a 500."""
    environ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    with serving("--file-root", str(tmp_path), environ=environ) as server:
        assert server.ask(post(to_file("ü/€.log"))).document["sent"] is True
        assert server.ask(post(to_file("ü/€.log"), path=b"/events?dry_run=1")).status == 200
        tls = {"ca_cert": "€.pem"}
        sink = {"type": "http_push", "url": "https://127.0.0.1:1", "tls": tls}
        assert server.ask(post(written(changed(LOG, sink=sink)))).status == 502
    assert len((tmp_path / "ü" / "€.log").read_bytes().splitlines()) == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux only")
def test_the_first_connection_starts_no_thread() -> None:
    """At the limit of processes libuv would abort the server: its threads are there from the start."""
    with serving() as server, tcp_destination() as destination:
        threads = Path(f"/proc/{server.process.pid}/task")
        before = len(list(threads.iterdir()))
        sink = {"type": "tcp", "address": destination.address}
        assert server.request("POST", "/events", json=changed(LOG, sink=sink)).status_code == 200
        # libuv's are four; a slow standard error has one of the log's own.
        assert len(list(threads.iterdir())) <= before + 1
