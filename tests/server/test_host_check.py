"""Browsers are no clients by accident: whose `Host` is served, and what a page of another origin gets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

import pytest

from sonda.pipeline.values.addresses import Address
from sonda.server.app import assemble
from sonda.server.host_check import AllowedHost, HostCheck, parse_allowed_host
from sonda.server.settings import Settings
from tests.server.test_http import JSON, Pipe, Reply, ask, asked, assert_refused
from tests.support.bodies import LOG, changed
from tests.support.bodies import raw as written
from tests.support.serving import Reply as RawReply
from tests.support.serving import serving

OPEN: Final = Settings()
EVERYWHERE: Final = replace(OPEN, bind="0.0.0.0")  # noqa: S104  # in a container


def host(value: str) -> tuple[bytes, bytes]:
    return b"host", value.encode("latin-1")


def with_host(value: str, settings: Settings = OPEN, pipe: Pipe | None = None) -> Reply:
    """Post an event with this `Host`."""
    return asked(pipe or Pipe(), settings, "POST", "/events", b"{}", headers=[JSON, host(value)])


LOOPBACK = [
    "localhost",
    "LocalHost.",
    "localhost:8080",
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.1.2.3",
    "127.1",
    "[::1]",
    "[::1]:8080",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]:80",
]
FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil-localhost",
    "10.0.0.1",
    "0.0.0.0",  # noqa: S104  # a name of this machine that pages may use
    "[::]",
    "[fe80::1]",
    "",
    " ",
    "localhost:",
    "localhost:0",
    "localhost:99999",
    "localhost:80:80",
    "me@localhost",
    "localhost/x",
    "localhost, evil.example",
    "[::1",
    "::1",
    "\xe9",
    "a" * 10_000,
]


@pytest.mark.parametrize("value", LOOPBACK)
def test_loopback_hosts_are_served(value: str) -> None:
    """The machine's own names are fine in any spelling, with a port or without."""
    assert with_host(value).status == 200


@pytest.mark.parametrize("value", FOREIGN)
def test_foreign_hosts_are_403(value: str) -> None:
    """Whatever is not one of them is refused before the body is read; the flag is named."""
    pipe = Pipe()
    reply = with_host(value, pipe=pipe)
    assert_refused(reply, 403, "forbidden")
    detail = reply.document["detail"]
    assert detail.startswith('Host "' + value[:10].strip("\xe9"))
    assert detail.endswith("sonda-server --allow-host NAME would allow it")
    assert len(detail) < 300
    assert pipe.got == []


def test_a_request_without_host_is_no_browsers() -> None:
    """HTTP/1.0 has no `Host`, and no browser leaves it out."""
    assert asked(Pipe(), OPEN, "POST", "/events", b"{}").status == 200


@pytest.mark.parametrize("values", [("localhost", "evil.example"), ("evil.example", "localhost")])
def test_each_host_counts(values: tuple[str, str]) -> None:
    """Of two `Host`s the foreign one decides, wherever it stands."""
    headers = [JSON, *map(host, values)]
    reply = asked(Pipe(), OPEN, "POST", "/events", b"{}", headers=headers)
    assert_refused(reply, 403, "forbidden")


@pytest.mark.parametrize("path", ["/nowhere", "/events"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_the_host_comes_before_path_and_method(method: str, path: str) -> None:
    """A foreign page does not even learn what there is."""
    reply = asked(Pipe(), OPEN, method, path, headers=[host("evil.example")])
    assert_refused(reply, 403, "forbidden")


def test_too_many_requests_come_before_the_host() -> None:
    """What is over the limit is not looked at."""
    settings = replace(OPEN, max_inflight_requests=0)
    assert_refused(with_host("evil.example", settings), 503, "service_unavailable")


def test_health_is_exempt() -> None:
    """A probe may call the server what it likes."""
    reply = asked(Pipe(), OPEN, "GET", "/health", headers=[host("evil.example")])
    assert reply.status == 200


@pytest.mark.parametrize(
    "settings", [replace(OPEN, api_key="key"), EVERYWHERE, replace(OPEN, bind="10.0.0.1")]
)
def test_where_the_host_does_not_matter(settings: Settings) -> None:
    """With a key a page is kept away by that; on other addresses the server has names of its own."""
    headers = [JSON, host("sonda.example"), (b"authorization", b"Bearer key")]
    assert asked(Pipe(), settings, "POST", "/events", b"{}", headers=headers).status == 200


@pytest.mark.parametrize(
    ("listening", "status"),
    [
        ([Address("127.0.0.1", 80), Address("::1", 80)], 403),
        ([Address("127.0.0.1", 80), Address("10.0.0.1", 80)], 200),
    ],
)
def test_what_is_really_listened_on_decides(listening: list[Address], status: int) -> None:
    """A name to bind to may stand for this machine's loopback."""
    app = assemble(replace(OPEN, bind="my-name"), Pipe(), listening)
    headers = [JSON, host("evil.example")]
    assert asyncio.run(ask(app, "POST", "/events", b"{}", headers=headers)).status == status


@pytest.mark.parametrize(
    ("allowed", "value", "passes"),
    [
        ("sonda.example", "sonda.example", True),
        ("Sonda.Example.", "SONDA.example.:8080", True),
        ("sonda.example:8080", "sonda.example:8080", True),
        ("sonda.example:8080", "sonda.example:8081", False),
        ("sonda.example:8080", "sonda.example", False),
        ("sonda.example:80", "sonda.example", True),
        ("sonda.example", "x.sonda.example", False),
        ("sonda.example", "sonda.example.evil", False),
        ("10.0.0.1", "10.0.0.1:8080", True),
        ("10.0.0.1", "0x0a.0.0.1", True),
        ("fd00::1", "[fd00::1]:8080", True),
        ("[fd00::1]:80", "[fd00:0::1]", True),
        ("fd00::1", "[fd00::2]", False),
    ],
)
def test_allowed_hosts(allowed: str, value: str, passes: bool) -> None:
    """A name that the operator allows is served, and none that only resembles it."""
    settings = replace(OPEN, allow_host=(parse_allowed_host(allowed),))
    assert with_host(value, settings).status == (200 if passes else 403)
    assert with_host("localhost", settings).status == 200


def test_verdicts_are_remembered_within_bounds() -> None:
    """The same `Host` is read once; a flood of others takes no memory."""
    check = HostCheck([AllowedHost("sonda.example")])
    for number in range(1000):
        assert check.passes(b"localhost")
        assert not check.passes(b"evil%d" % number)
    counted = check.passes.cache_info()
    assert counted.hits == 999
    assert counted.currsize == counted.maxsize


# --- origins -------------------------------------------------------------------------------------

ORIGIN: Final = (b"origin", b"http://evil.example")


@pytest.mark.parametrize("settings", [OPEN, replace(OPEN, api_key="key"), EVERYWHERE])
def test_a_preflight_is_refused(settings: Settings) -> None:
    """A browser that asks whether a page of another origin may post hears 405, and no CORS."""
    headers = [
        host("localhost"),
        ORIGIN,
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"content-type"),
        (b"access-control-request-private-network", b"true"),
    ]
    reply = asked(Pipe(), settings, "OPTIONS", "/events", headers=headers)
    assert_refused(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == "POST"
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "media_type", [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"]
)
def test_what_a_page_may_send_unasked_is_415(media_type: bytes) -> None:
    """The media types that need no preflight are not taken, whatever the body is."""
    headers = [host("localhost"), ORIGIN, (b"content-type", media_type)]
    reply = asked(Pipe(), OPEN, "POST", "/events", b"{}", headers=headers)
    assert_refused(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/events", 200),
        ("GET", "/health", 200),
        ("GET", "/x", 404),
        ("PUT", "/events", 405),
    ],
)
def test_no_answer_has_cors_headers(method: str, path: str, status: int) -> None:
    """No page of another origin may read an answer."""
    headers = [JSON, host("localhost"), ORIGIN]
    reply = asked(Pipe(), OPEN, method, path, b"{}", headers=headers)
    assert reply.status == status
    assert not [name for name in reply.headers if name.startswith("access-control")]


# --- a real server -------------------------------------------------------------------------------


def post(port: int, name: str, sink: dict[str, Any]) -> bytes:
    """Write a request of an event, as a browser or curl would."""
    body = written(changed(LOG, sink=sink))
    return (
        f"POST /events HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def test_rebinding_against_a_real_server() -> None:
    """The README's first curl works with no flag; a page whose name has come to lead here is 403."""
    with serving("--allow-host", "sonda.example") as server:

        def send(name: str) -> RawReply:
            return server.ask(post(server.port, name, {"type": "stdout"}))

        for name in ("localhost", "127.0.0.1", "[::1]", "sonda.example"):
            assert send(name).status == 200
        reply = send("evil.example")
        assert (reply.status, reply.document["error"]) == (403, "forbidden")
        assert server.stop() == 0
        assert server.printed.count(b"\n") == 4


def test_a_real_server_does_not_talk_to_itself() -> None:
    """Where the server really listens nothing is sent, by whatever name or spelling."""
    with serving() as server:
        for name in ("127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"):
            for sink in (
                {"type": "http_push", "url": f"http://{name}:{server.port}/events"},
                {"type": "tcp", "address": f"{name}:{server.port}"},
            ):
                reply = server.ask(post(server.port, "localhost", sink))
                assert (reply.status, reply.document["error"]) == (403, "forbidden")
                assert "where Sonda itself listens" in reply.document["detail"]
                assert f"--allow-destination 127.0.0.1:{server.port}" in reply.document["detail"]
        other = {"type": "tcp", "address": f"127.0.0.2:{server.port}"}
        assert server.ask(post(server.port, "localhost", other)).status == 502


def test_a_real_server_that_listens_everywhere() -> None:
    """Then all of the machine's addresses are its own; those of others are not."""
    with serving("--bind", "0.0.0.0", "--workers", "2") as server:  # noqa: S104
        for name in ("127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0"):  # noqa: S104
            sink = {"type": "http_push", "url": f"http://{name}:{server.port}/events"}
            reply = server.ask(post(server.port, "evil.example", sink))
            assert (reply.status, reply.document["error"]) == (403, "forbidden")
        elsewhere = {"type": "tcp", "address": "127.0.0.1:1"}
        assert server.ask(post(server.port, "evil.example", elsewhere)).status == 502


def test_rules_of_a_real_server() -> None:
    """Flags and variables confine a real server, and the detail says how to allow more."""
    environ = {"SONDA_ALLOW_DESTINATION": "127.0.0.1:1, tcp=*.example"}
    with serving(environ=environ) as server:

        def send(address: str) -> RawReply:
            sink = {"type": "tcp", "address": address}
            return server.ask(post(server.port, "localhost", sink))

        assert send("127.0.0.1:1").status == 502
        assert send("127.0.0.1:2").document == {
            "error": "forbidden",
            "detail": "destination 127.0.0.1:2 is none that a rule allows; "
            "sonda-server --allow-destination 127.0.0.1:2 would allow it",
        }
        assert send("169.254.169.254:80").status == 403
