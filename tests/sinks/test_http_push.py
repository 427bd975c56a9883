"""The `http_push` sink: which answers are a yes, which a no, and when nobody can tell."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, Final

import pytest
from returns.result import Failure, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.net import pool
from sonda.pipeline.net.sockets import Socket
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.text.escape import ANSWER_CHARACTERS
from tests.support.destinations import (
    TIME_NS,
    NewLoop,
    Outcome,
    Posted,
    both_loops,
    deliver,
    http_destination,
    json_line,
    log_event,
    outcome,
    run,
)
from tests.support.faulty import (
    Certificates,
    Peer,
    Script,
    answering,
    faulty,
    make_certificates,
    serving,
)

TRY_HTTPS: Final = "; if it speaks TLS, try https://"
HALF: Final = ANSWER_CHARACTERS // 2
LARGE: Final = "x" * 6_000_000
"""More than the kernel's buffers of both sides take."""
NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
AT_ONCE: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}


def to(url: str, **options: Any) -> dict[str, Any]:
    """Address the `http_push` sink."""
    return {"type": "http_push", "url": url, **options}


def accepted(status: int = 204, *, tries: int = 1) -> Outcome:
    """What a yes looks like."""
    return Success(Receipt("logs", Confirmed.ACCEPTED, TIME_NS, tries, 0, status))


def unknown(url: str, reason: str) -> Outcome:
    """What "nobody can tell" looks like."""
    return Failure(OutcomeUnknown(url, reason, TIME_NS))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for this file's servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("pki"))


# --- the request ---------------------------------------------------------------------------------


@both_loops
def test_posts_the_line(loop: NewLoop) -> None:
    """The encoder's bytes are the body, last LF included; the receipt has the status."""
    with http_destination() as destination:
        url = f"{destination.url}/push/here?tenant=a&x=%20"
        assert deliver(log_event(to(url), "ü€"), loop=loop) == [accepted()]
        assert destination.posts.wait_for() == [
            Posted(
                "/push/here?tenant=a&x=%20",
                {
                    "host": destination.url.removeprefix("http://"),
                    "accept": "*/*",
                    "accept-encoding": "identity",
                    "user-agent": "sonda/0.1.0",
                    "content-type": "application/x-ndjson",
                    "content-length": str(len(json_line("ü€"))),
                },
                json_line("ü€"),
            )
        ]


@pytest.mark.parametrize(
    ("encoder", "content_type"),
    [
        ("json_lines", "application/x-ndjson"),
        ("syslog", "text/plain; charset=utf-8"),
        ("influx_lp", "text/plain; charset=utf-8"),
        ("prometheus_text", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_content_type_is_the_encoders(encoder: str, content_type: str) -> None:
    """Without a content type of the user's, the encoder says what its bytes are."""
    with http_destination() as destination:
        event = log_event(to(destination.url), encoder=encoder)
        if encoder in ("influx_lp", "prometheus_text"):
            del event["log"]
            event |= {"signal_type": "metrics", "metric": {"name": "up", "value": 1}}
        [delivered] = deliver(event)
        assert isinstance(delivered, Success)
        [posted] = destination.posts.wait_for()
        assert posted.headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("options", "content_type"),
    [
        ({"content_type": "text/plain"}, "text/plain"),
        ({"headers": {"Content-Type": "text/csv"}}, "text/csv"),
        ({"content_type": "text/plain", "headers": {"content-TYPE": "text/csv"}}, "text/csv"),
    ],
)
def test_content_type_is_the_users(options: Mapping[str, Any], content_type: str) -> None:
    """The user's content type wins, the header in any case before the option."""
    [posted] = _posted(options)
    assert posted.headers["content-type"] == content_type


def test_headers() -> None:
    """Headers go out as given, values as UTF-8, and win over ours."""
    headers = {"X-Greeting": "grüß dich €", "user-agent": "mine", "ACCEPT": "text/x"}
    [posted] = _posted({"headers": headers})
    assert posted.headers["x-greeting"].encode("latin-1").decode() == "grüß dich €"
    assert (posted.headers["user-agent"], posted.headers["accept"]) == ("mine", "text/x")


@pytest.mark.parametrize(
    ("userinfo", "login"),
    [
        ("ada:secret", b"ada:secret"),
        ("ada:p%40ss%3Aw%C3%B6rd", "ada:p@ss:wörd".encode()),
        ("ada", b"ada:"),
        (":token", b":token"),
    ],
)
def test_userinfo_becomes_basic_authorization(userinfo: str, login: bytes) -> None:
    """The name and password of a URL go out as Basic authorization, and not in the `Host`."""
    with http_destination() as destination:
        url = destination.url.replace("//", f"//{userinfo}@")
        assert deliver(log_event(to(url)))[0].unwrap().status == 204
        [posted] = destination.posts.wait_for()
    assert posted.headers["authorization"] == f"Basic {b64encode(login).decode()}"
    assert posted.headers["host"] == destination.url.removeprefix("http://")


def test_a_given_authorization_wins() -> None:
    """An `Authorization` header, in any case, takes the place of the URL's userinfo."""
    with http_destination() as destination:
        url = destination.url.replace("//", "//ada:secret@")
        deliver(log_event(to(url, headers={"authorization": "Bearer mine"})))
        [posted] = destination.posts.wait_for()
    assert posted.headers["authorization"] == "Bearer mine"


def _posted(options: Mapping[str, Any]) -> list[Posted]:
    with http_destination() as destination:
        assert deliver(log_event(to(destination.url, **options))) == [accepted()]
        return destination.posts.wait_for()


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment does not decide where an event goes."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with http_destination() as destination:
        assert deliver(log_event(to(destination.url))) == [accepted()]


def test_cookies_are_not_kept() -> None:
    """What a destination sets as a cookie is never sent back."""
    with faulty(serving(b"HTTP/1.1 204 No Content\r\nSet-Cookie: session=1; Path=/\r\n\r\n")) as d:
        assert deliver(*[log_event(to(d.url))] * 3) == [accepted()] * 3
        assert all("cookie" not in posted.headers for posted in d.posts.wait_for(3))


@both_loops
def test_ipv6(loop: NewLoop) -> None:
    """An IPv6 address stands in brackets, in the URL and in the `Host`."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")
    with faulty(serving(NO_CONTENT), host="::1") as server:
        assert deliver(log_event(to(server.url)), loop=loop) == [accepted()]
        [posted] = server.posts.wait_for()
        assert posted.headers["host"] == server.address


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 250, 299])
def test_every_2xx_is_a_yes(status: int) -> None:
    """A 2xx, known or not, is the destination's yes."""
    answer = b"HTTP/1.1 %d Fine\r\nContent-Length: 0\r\n\r\n" % status
    with faulty(answering(answer)) as server:
        assert deliver(log_event(to(server.url))) == [accepted(status)]


@both_loops
@pytest.mark.parametrize(
    "status", [300, 304, 399, 400, 401, 404, 408, 413, 429, 499, 500, 503, 599, 600, 999]
)
def test_every_other_status_is_a_no(status: int, loop: NewLoop) -> None:
    """Any other status is a no, quoted with the start of the answer."""
    body = b"" if status == 304 else b"no"
    answer = b"HTTP/1.1 %d Nope\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
    with faulty(answering(answer)) as server:
        refused = Refused(server.url, f"{status} Nope", body.decode())
        assert deliver(log_event(to(server.url)), loop=loop) == [Failure(refused)]
        assert len(server.posts.items) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_no(status: int) -> None:
    """A redirect is not followed."""
    with http_destination() as destination:
        [outcome] = deliver(log_event(to(f"{destination.url}/s/{status}")))
        problem = outcome.failure()
        assert isinstance(problem, Refused)
        assert problem.answer == "destination says no"
        assert [posted.path for posted in destination.posts.items] == [f"/s/{status}"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (b" Service Unavailable", "503 Service Unavailable"),
        (b" ", "503 Service Unavailable"),
        (b"", "503 Service Unavailable"),
        (b" Sorry \xc3\xbc", "503 Sorry ü"),
        (b" " + b"long " * 100, "503 " + "long " * 20 + "…" + " long" * 20),
    ],
)
def test_the_reason_phrase(reason: bytes, shown: str) -> None:
    """A refusal shows the destination's own phrase, else the standard one."""
    with faulty(answering(b"HTTP/1.1 503%b\r\nContent-Length: 0\r\n\r\n" % reason)) as server:
        assert deliver(log_event(to(server.url))) == [Failure(Refused(server.url, shown))]


def test_the_answer_is_quoted_decoded() -> None:
    """A refusal that came compressed, in a charset of its own, is quoted in its words."""
    body = gzip.compress("trop de requêtes".encode("latin-1"))
    head = (
        b"HTTP/1.1 429 Busy\r\nContent-Encoding: gzip\r\n"
        b"Content-Type: text/plain; charset=ISO-8859-1\r\nContent-Length: %d\r\n\r\n"
    )
    with faulty(answering(head % len(body) + body)) as server:
        refused = Refused(server.url, "429 Busy", "trop de requêtes")
        assert deliver(log_event(to(server.url))) == [Failure(refused)]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"error": "no\n\x1b[31m"}', '{"error": "no\\n\\u001b[31m"}'),
        (b"\xff\xfe", "��"),
        (b"a" * 5000 + b"z" * 5000, "a" * HALF + "…" + "z" * HALF),
        (b"", ""),
    ],
)
def test_the_answer_is_quoted_on_one_line(body: bytes, shown: str) -> None:
    """Start and end of the answer stand in the detail, without control characters."""
    answer = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with faulty(answering(answer)) as server:
        refused = Refused(server.url, "400 Bad", shown)
        assert deliver(log_event(to(server.url))) == [Failure(refused)]


COMPLETE: Final[Mapping[str, tuple[tuple[bytes, ...], int, str]]] = {
    "chunked": (
        (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", b"0\r\n\r\n"),
        400,
        "no",
    ),
    "chunked_yes": (
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n"),
        200,
        "",
    ),
    "http_1_0": ((b"HTTP/1.0 200 OK\r\n\r\nfi", b"ne"), 200, ""),
    "http_1_0_no": ((b"HTTP/1.0 500 Bad\r\n\r\nn", b"o"), 500, "no"),
    "until_close": ((b"HTTP/1.1 400 Bad\r\n\r\nn", b"o"), 400, "no"),
    "connection_close": (
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",),
        200,
        "",
    ),
    "no_content": ((b"HTTP/1.1 204\r\n\r\n",), 204, ""),
    "after_100": ((b"HTTP/1.1 100 Continue\r\n\r\n", NO_CONTENT), 204, ""),
    "after_103": ((b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + NO_CONTENT,), 204, ""),
    "gzip": (
        (b"HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",),
        400,
        "no",
    ),
    "64_kib_of_more": (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b"x" * 65536),
        200,
        "",
    ),
    "64_kib_of_a_no": (
        (
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"4000\r\n%b\r\n" % (b"x" * 16384) * 4,
        ),
        400,
        "x" * ANSWER_CHARACTERS + "…",
    ),
}


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("case", COMPLETE)
def test_complete_answers(case: str, secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """However an answer is framed, once it is complete its status decides."""
    parts, status, shown = COMPLETE[case]
    ending: Script = Peer.hang if case.startswith("64_kib") else lambda _: None
    with faulty(answering(*parts, then=ending), tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        expected: Outcome = accepted(status)
        if status >= 300:
            expected = Failure(Refused(url, f"{status} Bad", shown))
        assert deliver(log_event(sink), loop=loop) == [expected]


def _sink(address: str, secured: bool, pki: Certificates, **options: Any) -> tuple[str, Any]:
    if not secured:
        return f"http://{address}", to(f"http://{address}", **options)
    tls = {"ca_cert": pki.path("ca.pem")}
    return f"https://{address}", to(f"https://{address}", tls=tls, **options)


BROKEN: Final[Mapping[str, tuple[bytes, ...]]] = {
    "nothing": (),
    "half_a_status": (b"HTTP/1.1 20",),
    "half_a_head": (b"HTTP/1.1 204 No Content\r\nServer: x\r\n",),
    "short_body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfin",),
    "no_body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",),
    "half_a_chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfi",),
    "no_last_chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",),
    "only_100": (b"HTTP/1.1 100 Continue\r\n\r\n",),
    "switching": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",),
    "garbage": (b"\x00\xff" * 50 + b"\r\n\r\n",),
    "not_http": (b"220 smtp.example ESMTP\r\n" * 20,),
    "http_2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 64,),
    "status_099": (b"HTTP/1.1 099 Odd\r\n\r\n",),
    "two_lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",),
    "bad_length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",),
    "bad_coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",),
    "bad_chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
    "bad_header": (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",),
    "endless_head": (b"HTTP/1.1 200 OK\r\n", b"X-A: bcdefghijklmnopqrstuvwxyz\r\n" * 5000),
}


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("case", BROKEN)
def test_broken_answers(case: str, secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """An answer that ends early, or is none, leaves the outcome unknown; the reason is short."""
    with faulty(answering(*BROKEN[case]), tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        problem = deliver(log_event(sink), loop=loop)[0].failure()
        assert isinstance(problem, OutcomeUnknown)
        assert (problem.target, problem.time_ns) == (url, TIME_NS)
        assert problem.reason.startswith("(")
        assert problem.reason.isprintable()
        assert len(problem.reason) < 250


@pytest.mark.parametrize("case", ["nothing", "half_a_status", "half_a_head", "only_100"])
def test_closed_without_an_answer(case: str) -> None:
    """Where the destination hangs up before a whole head has come, the detail says so."""
    with faulty(answering(*BROKEN[case])) as server:
        closed = unknown(server.url, "(the connection was closed without an answer)")
        assert deliver(log_event(to(server.url))) == [closed]


@both_loops
def test_a_101_that_was_asked_for(loop: NewLoop) -> None:
    """A protocol switch is no answer, also where the user's headers asked for one."""
    switching = answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
    with faulty(switching) as server:
        event = log_event(to(server.url, headers={"Upgrade": "h2c"}))
        switched = unknown(server.url, "(the protocol was switched instead of an answer)")
        assert deliver(event, loop=loop) == [switched]


# --- time ----------------------------------------------------------------------------------------


@both_loops
def test_accepts_and_hangs(loop: NewLoop) -> None:
    """A destination that never answers is unknown at the deadline, in the contract's words."""
    with faulty(answering(then=Peer.hang)) as server:
        [silent] = deliver(log_event(to(server.url, timeout="1s")), loop=loop)
        assert silent == unknown(server.url, "within 1s")
        assert str(silent.failure()) == (
            f"sink error: no acknowledgement from {server.url} within 1s; the event (timestamp "
            "2026-11-23T08:00:00.123456789Z) may or may not have been delivered"
        )


def _drip(peer: Peer) -> None:
    peer.request()
    for byte in b"HTTP/1.1 204 No Content\r\n" + b"X: y\r\n" * 1000:
        peer.send(bytes([byte]))
        time.sleep(0.05)


def _flood_with_hints(peer: Peer) -> None:
    peer.request()
    while True:
        peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


def _flood_with_a_chunk_extension(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"1;" + b"x" * 60_000 + b"\r\ny\r\n")


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("script", [_drip, _flood_with_hints, _flood_with_a_chunk_extension])
def test_the_deadline_holds(script: Script, secured: bool, pki: Certificates) -> None:
    """An answer without an end, however slow or fast it comes, does not move the deadline."""
    with faulty(script, tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki, timeout="1s")
        assert deliver(log_event(sink)) == [unknown(url, "within 1s")]


@both_loops
def test_a_flood_leaves_the_loop_to_others(loop: NewLoop) -> None:
    """While one destination floods us, the events of another are delivered."""

    async def both(pipeline: Pipeline) -> Outcome:
        flooded = asyncio.ensure_future(outcome(pipeline, log_event(to(server.url, timeout="30s"))))
        await asyncio.to_thread(server.posts.wait_for)
        delivered = await outcome(pipeline, log_event(to(destination.url)))
        assert not flooded.done()
        flooded.cancel()
        await asyncio.wait([flooded])
        return delivered

    with faulty(_flood_with_hints) as server, http_destination() as destination:
        assert run(both, loop=loop) == accepted()


@both_loops
def test_a_destination_that_never_reads(loop: NewLoop) -> None:
    """A deadline in the middle of the request leaves the outcome unknown."""
    with faulty(Peer.hang) as server:
        event = log_event(to(server.url, timeout="1s"), LARGE)
        assert deliver(event, loop=loop) == [unknown(server.url, "within 1s")]


# --- connections that break ----------------------------------------------------------------------


@both_loops
def test_connection_refused(loop: NewLoop) -> None:
    """A refused connection has cost nothing."""
    refused = Unreachable("HTTP connect to 127.0.0.1:1", "Connection refused")
    assert deliver(log_event(to("http://127.0.0.1:1/x")), loop=loop) == [Failure(refused)]


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is told in the resolver's words; a URL needs no port."""

    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    problem = Unreachable("HTTP connect to nowhere.invalid", "Name or service not known")
    assert deliver(log_event(to("http://nowhere.invalid/x"))) == [Failure(problem)]


@both_loops
def test_hangs_in_the_handshake(loop: NewLoop, pki: Certificates) -> None:
    """A TLS handshake that the deadline ends has sent nothing of the event."""
    with faulty(Peer.hang) as server:
        _, sink = _sink(server.address, True, pki, timeout="300ms")
        too_slow = Unreachable(f"HTTP connect to {server.address}", "timed out after 0.3s")
        assert deliver(log_event(sink), loop=loop) == [Failure(too_slow)]


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("ending", [Peer.close, Peer.reset], ids=["close", "reset"])
def test_hangs_up_before_the_request(
    ending: Script, secured: bool, loop: NewLoop, pki: Certificates
) -> None:
    """Who accepts only to hang up has not accepted the event; the retry finds who does."""
    with faulty(ending, serving(NO_CONTENT), tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki)
        assert not isinstance(deliver(log_event(sink), loop=loop)[0], Success)
    with faulty(ending, serving(NO_CONTENT), tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki, retry=AT_ONCE)
        assert deliver(log_event(sink), loop=loop) == [accepted(tries=2)]


@both_loops
def test_plain_http_on_a_tls_port(loop: NewLoop, pki: Certificates) -> None:
    """A server that expects TLS hangs up on plain HTTP, or says so in TLS: then https is the remedy."""
    with faulty(answering(b"\x15\x03\x03\x00\x02\x02\x46")) as server:
        told = unknown(server.url, "(it answered in TLS: try https://)")
        assert deliver(log_event(to(server.url)), loop=loop) == [told]


@both_loops
def test_tls_on_a_plain_port(loop: NewLoop) -> None:
    """A server that speaks plain HTTP answers the handshake with words, or breaks it off."""

    def complain(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.read_all()

    def reset(peer: Peer) -> None:
        peer.read()
        peer.reset()

    hint = "; if it speaks plain HTTP, try http://"
    for script, reason in (
        (complain, "TLS: wrong version number"),
        (reset, "Connection reset by peer"),
    ):
        with faulty(script) as server:
            refused = Unreachable(f"HTTP connect to {server.address}", reason + hint)
            sink = to(server.url.replace("http:", "https:"))
            assert deliver(log_event(sink), loop=loop) == [Failure(refused)]


BEGUN: Final = (b"H", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\n")


@both_loops
@pytest.mark.parametrize("begun", [*BEGUN, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_server_that_has_begun_to_answer_speaks_the_right_scheme(
    begun: bytes, loop: NewLoop
) -> None:
    """A reset behind words of HTTP is no matter of the scheme."""

    def begin_and_reset(peer: Peer) -> None:
        peer.request()
        peer.send(begun)
        time.sleep(0.1)  # or the reset would take the words along
        peer.reset()

    with faulty(begin_and_reset) as server:
        broken = unknown(server.url, "(Connection reset by peer)")
        assert deliver(log_event(to(server.url)), loop=loop) == [broken]


@both_loops
@pytest.mark.parametrize("ending", [Peer.close, Peer.reset], ids=["close", "reset"])
def test_a_server_that_has_begun_a_handshake_speaks_the_right_scheme(
    ending: Script, loop: NewLoop
) -> None:
    """A server that breaks off behind the beginning of a TLS record speaks TLS."""

    def begin_and_break_off(peer: Peer) -> None:
        peer.read()
        peer.send(b"\x16\x03\x03\x00\x7a")
        time.sleep(0.1)
        ending(peer)

    with faulty(begin_and_break_off) as server:
        sink = to(server.url.replace("http:", "https:"))
        (result,) = deliver(log_event(sink), loop=loop)
        assert isinstance(problem := result.failure(), Unreachable)
        assert "http://" not in problem.reason


@both_loops
def test_a_kept_connection_that_breaks_speaks_the_right_scheme(loop: NewLoop) -> None:
    """Once a connection has carried an event, a reset on it is no matter of the scheme."""

    def break_on_the_second(peer: Peer) -> None:
        peer.request()
        peer.send(NO_CONTENT)
        peer.request()
        peer.reset()

    with faulty(break_on_the_second) as server:
        event = log_event(to(server.url))
        broken = unknown(server.url, "(Connection reset by peer)")
        assert deliver(event, event, loop=loop) == [accepted(), broken]


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("count", [1, 100_000])
def test_reset_within_the_request(
    count: int, secured: bool, loop: NewLoop, pki: Certificates
) -> None:
    """A reset once a byte has left leaves the outcome unknown."""

    def read_some_and_reset(peer: Peer) -> None:
        peer.read_exactly(count)
        peer.reset()

    with faulty(read_some_and_reset, tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        hint = "" if secured else TRY_HTTPS
        assert deliver(log_event(sink, LARGE), loop=loop)[0] in (
            unknown(url, f"(Connection reset by peer{hint})"),
            unknown(url, f"(Broken pipe{hint})"),
        )


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_reset_instead_of_an_answer(secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """A reset after the request leaves the outcome unknown."""
    with faulty(answering(then=Peer.reset), tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        reset = unknown(url, f"(Connection reset by peer{'' if secured else TRY_HTTPS})")
        assert deliver(log_event(sink), loop=loop) == [reset]


EARLY: Final = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"


EARLY_YES: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _answer_early(then: Script) -> Script:
    def script(peer: Peer) -> None:
        peer.read(1)
        peer.send(EARLY)
        then(peer)

    return script


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "then", [lambda _: None, Peer.hang, Peer.read_all], ids=["hangs_up", "stops_reading", "reads"]
)
def test_an_early_answer_counts(
    then: Script, secured: bool, loop: NewLoop, pki: Certificates
) -> None:
    """A refusal that comes before the request has been read is a refusal, whatever follows it."""
    with faulty(_answer_early(then), tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        refused = Refused(url, "413 Too Large", "no")
        assert deliver(log_event(sink, LARGE), loop=loop) == [Failure(refused)]


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_100_continue_in_the_middle(secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """A provisional answer that comes while the request goes out does not end it."""

    def encourage(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)
        peer.request()
        peer.send(NO_CONTENT)

    with faulty(encourage, tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki)
        assert deliver(log_event(sink, LARGE), loop=loop) == [accepted()]
        assert server.posts.items[0].body == json_line(LARGE)


@both_loops
def test_after_an_early_answer_the_connection_is_not_kept(loop: NewLoop) -> None:
    """A server that answers before it has read the event may take the rest for the next one."""

    def answer_early(peer: Peer) -> None:
        peer.read(1)  # before that it would be no answer
        peer.send(EARLY_YES)
        time.sleep(0.1)
        peer.request()
        peer.hang()

    with faulty(answer_early, serving(NO_CONTENT)) as server:
        events = (log_event(to(server.url), LARGE), log_event(to(server.url)))
        assert deliver(*events, loop=loop) == [accepted(200), accepted()]
        assert len(server.connections.items) == 2


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_after_an_early_yes_the_rest_is_sent(
    secured: bool, loop: NewLoop, pki: Certificates
) -> None:
    """A yes counts once the whole event has left, and the destination gets all of it."""

    def answer_early(peer: Peer) -> None:
        time.sleep(0.1)  # what comes along with TLS's handshake is no answer
        peer.send(EARLY_YES)
        time.sleep(0.1)
        peer.request()

    with faulty(answer_early, tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki)
        assert deliver(log_event(sink, LARGE), loop=loop) == [accepted(200)]
        assert server.posts.wait_for()[0].body == json_line(LARGE)


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_a_yes_to_half_an_event_is_none(secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """A server that says yes and reads no further does not have the event."""

    def answer_early(peer: Peer) -> None:
        peer.read(1)
        peer.send(EARLY_YES)
        peer.hang()

    with faulty(answer_early, tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        event = log_event({**sink, "timeout": "1s"}, LARGE)
        assert deliver(event, loop=loop) == [unknown(url, "within 1s")]


@both_loops
def test_a_yes_before_a_hang_up_is_none(loop: NewLoop) -> None:
    """The connection is closed behind the yes, and the event has not left."""

    def answer_early(peer: Peer) -> None:
        peer.read(1)
        peer.send(EARLY_YES)
        time.sleep(0.1)

    with faulty(answer_early) as server:
        (result,) = deliver(log_event(to(server.url), LARGE), loop=loop)
        assert isinstance(result.failure(), OutcomeUnknown)


# --- connections that are kept -------------------------------------------------------------------


def test_a_server_that_hangs_up_after_each_answer_has_fresh_connections() -> None:
    """Once a kept connection was found closed no other is kept, and no event meets a close."""

    def answer_once(peer: Peer) -> None:
        peer.request()
        peer.send(NO_CONTENT)

    async def spaced(pipeline: Pipeline) -> list[Outcome]:
        results = []
        for _ in range(4):
            results.append(await outcome(pipeline, log_event(to(server.url))))
            await asyncio.to_thread(server.ended.wait_for, len(results))
        kept = pipeline._network.pool._idle
        assert not kept
        return results

    with faulty(answer_once) as server:
        assert run(spaced) == [accepted()] * 4
        assert len(server.connections.items) == 4


def test_the_time_that_a_server_keeps_a_connection_is_honoured() -> None:
    """A second before `Keep-Alive: timeout=` is over the connection is given up."""

    async def work(pipeline: Pipeline) -> list[float]:
        for seconds in (5, 1):
            event = log_event(to(f"{server.url}/{seconds}"))
            assert isinstance(await outcome(pipeline, event), Success)
        return [stream.idle_s for stream in pipeline._network.pool._idle]

    def announce(peer: Peer) -> None:
        while (posted := peer.request()) is not None:
            keep_alive = b"Keep-Alive: max=9, timeout=%b" % posted.path[1:].encode()
            peer.send(b"HTTP/1.1 204 No Content\r\n%b\r\n\r\n" % keep_alive)

    with faulty(announce) as server:
        assert run(work) == []
        assert len(server.connections.items) == 1


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_events_share_a_connection(secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """Events of any length, one after another, travel on one connection."""
    with faulty(serving(NO_CONTENT), tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki)
        events = [log_event(sink, "x" * n) for n in range(5)]
        assert deliver(*events, loop=loop) == [accepted()] * 5
        assert len(server.connections.items) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["length", "chunked", "hints"],
)
def test_any_framing_keeps_the_connection(answer: bytes) -> None:
    """An answer with a body of its own leaves the connection to the next event."""
    with faulty(serving(answer)) as server:
        assert deliver(*[log_event(to(server.url))] * 3) == [accepted(200)] * 3
        assert len(server.connections.items) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["connection_close", "http_1_0"],
)
def test_a_connection_that_will_close_is_not_kept(answer: bytes) -> None:
    """Where the destination says that it will close, the next event has a connection of its own."""
    with faulty(serving(answer)) as server:
        assert deliver(*[log_event(to(server.url))] * 3) == [accepted(200)] * 3
        assert len(server.connections.items) == 3


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("ending", [Peer.close, Peer.reset], ids=["close", "reset"])
def test_an_idle_close_costs_no_event(
    ending: Script, secured: bool, loop: NewLoop, pki: Certificates
) -> None:
    """A destination that ends the idle connection gets the next event on a fresh one."""

    async def three(pipeline: Pipeline) -> list[Outcome]:
        outcomes = []
        for n in range(3):
            outcomes.append(await outcome(pipeline, log_event(sink)))
            await asyncio.to_thread(server.ended.wait_for, n + 1)
        return outcomes

    script = answering(NO_CONTENT, then=ending)
    with faulty(script, tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki)
        assert run(three, loop=loop) == [accepted()] * 3


@both_loops
def test_a_close_that_only_the_write_finds(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection on which nothing can be sent any more is replaced as well."""

    async def two(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(to(server.url)))
        await asyncio.to_thread(server.ended.wait_for)
        return [first, await outcome(pipeline, log_event(to(server.url)))]

    monkeypatch.setattr(Socket, "has_input", lambda _: False)
    with faulty(answering(NO_CONTENT, then=Peer.reset), serving(NO_CONTENT)) as server:
        assert run(two, loop=loop) == [accepted(), accepted()]


@both_loops
def test_a_close_that_nobody_could_see(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the destination closes while the request is on its way, the outcome is unknown."""

    async def two(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(to(server.url)))
        await asyncio.to_thread(server.ended.wait_for)
        return [first, await outcome(pipeline, log_event(to(server.url)))]

    monkeypatch.setattr(Socket, "has_input", lambda _: False)
    with faulty(answering(NO_CONTENT, then=Peer.close), serving(NO_CONTENT)) as server:
        first, second = run(two, loop=loop)
        assert first == accepted()
        assert isinstance(second.failure(), OutcomeUnknown)
        assert len(server.connections.items) == 1


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("together", [True, False], ids=["together", "later"])
def test_an_answer_that_nobody_asked_for(
    together: bool, secured: bool, loop: NewLoop, pki: Certificates
) -> None:
    """A second answer on an idle connection is never taken for the next event's."""

    def answer_twice(peer: Peer) -> None:
        peer.request()
        if together:  # in TLS: two records in one segment
            _send_together(peer, NO_CONTENT, NO_CONTENT)
        else:
            peer.send(NO_CONTENT)
            time.sleep(0.05)
            peer.send(NO_CONTENT)
        peer.server.ended.add("said it")
        peer.read_all()

    async def two(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(sink))
        await asyncio.to_thread(server.ended.wait_for)
        return [first, await outcome(pipeline, log_event(sink))]

    refusing = answering(b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n")
    with faulty(answer_twice, refusing, tls=pki.server() if secured else None) as server:
        url, sink = _sink(server.address, secured, pki)
        assert run(two, loop=loop) == [accepted(), Failure(Refused(url, "500 Bad"))]


def _send_together(peer: Peer, *parts: bytes) -> None:
    """Send the parts, over TLS a record each, so that one `recv` of the client gets them all."""
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    for part in parts:
        peer.send(part)
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"headers": {"X-Scope-OrgID": "b"}},
        {"headers": {"Authorization": "Bearer b"}},
        {"headers": {}},
        {"userinfo": "ada:secret@"},
    ],
    ids=["header", "token", "no_header", "userinfo"],
)
def test_different_credentials_never_share_a_connection(other: Mapping[str, Any]) -> None:
    """A connection may be tied to who opened it, so another's events do not travel on it."""
    with faulty(serving(NO_CONTENT)) as server:
        url = f"http://{other.get('userinfo', '')}{server.address}"
        mine = to(server.url, headers={"X-Scope-OrgID": "a"})
        theirs = to(url, headers=other.get("headers", {"X-Scope-OrgID": "a"}))
        delivered = deliver(*map(log_event, [mine, theirs, mine, theirs]))
        assert all(isinstance(each, Success) for each in delivered)
        assert len(server.connections.items) == 2


def test_different_tls_settings_never_share_a_connection(pki: Certificates) -> None:
    """Who shows a certificate has connections apart from who shows none."""
    with faulty(serving(NO_CONTENT), tls=pki.server()) as server:
        anonymous = {"ca_cert": pki.path("ca.pem")}
        known = {**anonymous, "client_cert": pki.path("client-both.pem")}
        sinks = [to(f"https://{server.address}", tls=tls) for tls in (anonymous, known) * 2]
        assert deliver(*map(log_event, sinks)) == [accepted()] * 4
        assert len(server.connections.items) == 2


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_connections_are_bounded(secured: bool, loop: NewLoop, pki: Certificates) -> None:
    """300 events at once wait for one of 64 connections; all are delivered."""

    async def all_at_once(pipeline: Pipeline) -> list[Outcome]:
        events = [log_event(sink, "x" * n) for n in range(300)]
        return await asyncio.gather(*(outcome(pipeline, event) for event in events))

    with faulty(serving(NO_CONTENT), tls=pki.server() if secured else None) as server:
        _, sink = _sink(server.address, secured, pki, timeout="30s")
        assert run(all_at_once, loop=loop) == [accepted()] * 300
        assert {posted.body for posted in server.posts.items} == {
            json_line("x" * n) for n in range(300)
        }
        assert len(server.connections.items) <= pool.CONNECTIONS_PER_DESTINATION


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"]
)
@pytest.mark.parametrize("shows", ["nothing", "stranger", "client"])
def test_client_certificates(shows: str, version: ssl.TLSVersion, pki: Certificates) -> None:
    """A client that is turned away is told so: before the request or, by TLS 1.3, after it."""
    tls = {"ca_cert": pki.path("ca.pem")}
    if shows != "nothing":
        tls["client_cert"] = pki.path(f"{shows}-both.pem")
    with faulty(serving(NO_CONTENT), tls=pki.server(version=version, wants_client=True)) as server:
        [delivered] = deliver(log_event(to(f"https://{server.address}", tls=tls)))
    if shows == "client":
        assert delivered == accepted()
        return
    problem = delivered.failure()
    late = version is ssl.TLSVersion.TLSv1_3
    assert isinstance(problem, (OutcomeUnknown, Unreachable) if late else Unreachable)
    assert "TLS: " in problem.reason
    assert "alert" in problem.reason
    assert server.posts.items == []


@pytest.mark.parametrize(
    ("names", "tls", "reason"),
    [
        (["127.0.0.1"], {"ca_cert": "stranger-ca.pem"}, "unable to get local issuer certificate"),
        (["127.0.0.1"], {}, "unable to get local issuer certificate"),
        (["a.example"], {"ca_cert": "ca.pem"}, "certificate is not valid for '127.0.0.1'"),
        (
            ["127.0.0.1"],
            {"ca_cert": "ca.pem", "server_name": "a.example"},
            "certificate is not valid for 'a.example'",
        ),
    ],
    ids=["unknown_ca", "system_cas", "wrong_address", "wrong_name"],
)
def test_a_server_that_cannot_be_trusted(
    names: list[str], tls: Mapping[str, str], reason: str, pki: Certificates
) -> None:
    """A certificate that does not prove the server is a no, and nothing is sent."""
    options = {name: pki.path(value) if name == "ca_cert" else value for name, value in tls.items()}
    with faulty(serving(NO_CONTENT), tls=pki.server(*names)) as server:
        sink = to(f"https://{server.address}", **({"tls": options} if options else {}))
        problem = deliver(log_event(sink))[0].failure()
        assert isinstance(problem, Unreachable)
        assert problem.attempt == f"HTTP connect to {server.address}"
        assert problem.reason.startswith("certificate verification failed: ")
        assert problem.reason.endswith(reason)
    assert server.posts.items == []


def test_server_name_takes_the_hosts_place(pki: Certificates) -> None:
    """With `server_name` the certificate is checked against it, and the `Host` stays the URL's."""
    with faulty(serving(NO_CONTENT), tls=pki.server("a.example")) as server:
        tls = {"ca_cert": pki.path("ca.pem"), "server_name": "a.example"}
        assert deliver(log_event(to(f"https://{server.address}", tls=tls))) == [accepted()]
        assert server.posts.items[0].headers["host"] == server.address


@both_loops
def test_a_tls_end_without_goodbye(loop: NewLoop, pki: Certificates) -> None:
    """A body that only the end of the connection ends is complete, TLS's goodbye or not."""
    answer = answering(b"HTTP/1.1 200 OK\r\n\r\nfine", then=Peer.close)
    with faulty(answer, tls=pki.server()) as server:
        _, sink = _sink(server.address, True, pki)
        assert deliver(log_event(sink), loop=loop) == [accepted(200)]


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        serving(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
        answering(b"garbage\r\n\r\n"),
        answering(then=Peer.hang),
        None,
    ],
    ids=["refused", "garbage", "hangs", "unreachable"],
)
def test_secrets_stay_out_of_details(script: Script | None) -> None:
    """Neither a password in a URL nor a header's value is shown in any detail or `repr`."""
    with faulty(script or serving(b"")) as server:
        address = server.address if script else "127.0.0.1:1"
        sink = to(
            f"http://ada:hunter2@{address}/x?y=z",
            headers={"Authorization": "Bearer hunter2", "X-Token": "hunter2"},
            timeout="1s",
        )
        problem: Problem = deliver(log_event(sink))[0].failure()
        assert "hunter2" not in f"{problem} {problem!r}"
        assert "ada" not in f"{problem} {problem!r}"
        assert (f"http://***@{address}/x?y=z" in str(problem)) is (script is not None)


# --- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_retries_until_a_yes(failures: int) -> None:
    """A 503 is tried again with the same bytes; the receipt counts the tries."""
    retry = {"max_attempts": 3, "initial_backoff": "1ms", "max_backoff": "2ms"}
    with http_destination() as destination:
        event = log_event(to(f"{destination.url}/flaky/x/{failures}", retry=retry))
        del event["timestamp"]
        [delivered] = deliver(event)
        receipt = delivered.unwrap()
        assert (receipt.tries, receipt.status) == (failures + 1, 204)
        bodies = [posted.body for posted in destination.posts.wait_for(failures + 1)]
        assert len(bodies) == failures + 1
        assert len(set(bodies)) == 1


def test_max_attempts_counts_the_retries() -> None:
    """`max_attempts` tries follow the first one, and then the last refusal is the answer."""
    retry = {"max_attempts": 2, "initial_backoff": "1ms", "max_backoff": "1ms"}
    with http_destination() as destination:
        url = f"{destination.url}/flaky/x/9"
        [refused] = deliver(log_event(to(url, retry=retry)))
        assert refused == Failure(Refused(url, "503 Service Unavailable", "destination says no"))
        assert len(destination.posts.items) == 3


@pytest.mark.parametrize(
    ("status", "tries"),
    [
        (300, 1),
        (302, 1),
        (400, 1),
        (401, 1),
        (404, 1),
        (408, 1),
        (429, 2),
        (500, 2),
        (501, 2),
        (599, 2),
    ],
)
def test_which_refusals_are_tried_again(status: int, tries: int) -> None:
    """Only what may pass is tried again: 429 and 5xx."""
    with faulty(serving(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        refused = deliver(log_event(to(server.url, retry=AT_ONCE)))
        assert refused == [Failure(Refused(server.url, f"{status} No"))]
        assert len(server.posts.items) == tries


@both_loops
def test_unknown_and_then_accepted(loop: NewLoop) -> None:
    """A yes to any try is a yes to the event."""
    with faulty(answering(then=Peer.reset), serving(NO_CONTENT)) as server:
        assert deliver(log_event(to(server.url, retry=AT_ONCE)), loop=loop) == [accepted(tries=2)]
        first, second = server.posts.items
        assert first == second


@both_loops
def test_unknown_and_then_refused(loop: NewLoop) -> None:
    """A no to the second try says nothing about the first."""
    refusing = serving(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
    with faulty(answering(then=Peer.reset), refusing) as server:
        [torn] = deliver(log_event(to(server.url, retry=AT_ONCE)), loop=loop)
        assert torn == unknown(server.url, f"(Connection reset by peer{TRY_HTTPS})")
        assert len(server.posts.items) == 2


def test_refused_and_then_unknown() -> None:
    """A no to the first try says nothing about the second."""
    busy = answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    with faulty(busy, answering(then=Peer.hang)) as server:
        [silent] = deliver(log_event(to(server.url, retry=AT_ONCE, timeout="1s")))
        assert silent == unknown(server.url, "within 1s")


def test_two_refusals() -> None:
    """If every try was refused, the event was: the last no is the answer."""
    answers = [
        answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        answering(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"),
    ]
    with faulty(*answers) as server:
        refused = deliver(log_event(to(server.url, retry=AT_ONCE)))
        assert refused == [Failure(Refused(server.url, "400 Bad"))]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, none of which is really waited."""
    waited: list[float] = []

    async def note(wait_s: float) -> None:
        waited.append(wait_s)

    monkeypatch.setattr("sonda.pipeline.net.retry.asyncio", SimpleNamespace(sleep=note))
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return waited


def _busy(retry_after: bytes) -> Script:
    return serving(
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: %b\r\n\r\n" % retry_after
    )


LATER: Final = format_datetime(datetime(2100, 1, 1, tzinfo=UTC), usegmt=True).encode()


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [
        (b"2", 2.0),
        (b"0", 0.0),
        (b"3600", 5.0),
        (b"9" * 400, 5.0),
        (LATER, 5.0),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (b"soon", 0.1),
        (b"-1", 0.1),
        (b"1.5", 0.1),
        (b"", 0.1),
        ("\N{ARABIC-INDIC DIGIT TWO}".encode(), 0.1),
        (b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0.1),
        (b"Mon, 01 Jan 2024 00:00:00 +9999", 0.1),
    ],
    ids=[
        "seconds",
        "none",
        "cut",
        "absurd",
        "date",
        "past_date",
        "word",
        "negative",
        "fraction",
        "empty",
        "not_ascii",
        "overflowing_date",
        "overflowing_zone",
    ],
)
def test_retry_after(retry_after: bytes, wait_s: float, waits: list[float]) -> None:
    """The destination's own wait, cut to `max_backoff`, replaces the computed one if it is valid."""
    retry = {"max_attempts": 1, "initial_backoff": "100ms", "max_backoff": "5s"}
    with faulty(_busy(retry_after)) as server:
        [refused] = deliver(log_event(to(server.url, retry=retry)))
        assert refused == Failure(Refused(server.url, "503 Busy"))
        assert len(server.posts.items) == 2
    assert waits == [wait_s]


def test_retry_after_a_date_soon(waits: list[float]) -> None:
    """An HTTP date is a wait until then."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True).encode()
    retry = {"max_attempts": 1, "initial_backoff": "100ms", "max_backoff": "1m"}
    with faulty(_busy(soon)) as server:
        deliver(log_event(to(server.url, retry=retry, timeout="2m")))
    assert len(waits) == 1
    assert 1 < waits[0] <= 30


def test_a_wait_that_does_not_fit_is_not_begun(waits: list[float]) -> None:
    """Where the next wait would outlast the deadline, the last outcome is answered at once."""
    retry = {"max_attempts": 1, "initial_backoff": "1s", "max_backoff": "1m"}
    with faulty(_busy(b"30")) as server:
        refused = deliver(log_event(to(server.url, retry=retry, timeout="20s")))
        assert refused == [Failure(Refused(server.url, "503 Busy"))]
        assert len(server.posts.items) == 1
    assert waits == []


def test_the_deadline_is_one_for_all_tries() -> None:
    """A retry does not start the time-out anew."""
    retry = {"max_attempts": 1000, "initial_backoff": "50ms", "max_backoff": "50ms"}
    with faulty(serving(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) as server:
        [refused] = deliver(log_event(to(server.url, retry=retry, timeout="400ms")))
        no_more = Failure(Refused(server.url, "503 Busy"))
        assert refused in (no_more, unknown(server.url, "within 0.4s"))
        assert 1 < len(server.posts.items) < 1000
