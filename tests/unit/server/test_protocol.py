"""A connection that has ended, and heads that are equal."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from weakref import ref

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from sonda.server.protocol import EventProtocol, repeats
from sonda.server.request_head import Header, TakenHead, take_head

HEADERS = [(b"host", b"h"), (b"content-length", b"10"), (b"accept", b"*/*")]

TURNS = 1000  # of the loop: it has a few to close a connection


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer with nothing."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def is_gone_once_closed() -> bool:
    """Serve one request on a connection; return whether its protocol goes without the collector."""
    config, state = Config(app, lifespan="off"), ServerState()
    config.load()
    made: list[ref[EventProtocol]] = []

    def protocol() -> EventProtocol:
        made_now = EventProtocol(config=config, server_state=state, app_state={})
        made.append(ref(made_now))
        return made_now

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        writer.close()
        await writer.wait_closed()
        (found,) = made
        for _ in range(TURNS):
            if found() is None:
                return True
            await asyncio.sleep(0)
    return False


def test_a_closed_connection_leaves_nothing_to_the_collector() -> None:
    """A server collects seldom: with clients that come and go it would keep thousands."""
    gc.disable()
    try:
        assert asyncio.run(is_gone_once_closed())
    finally:
        gc.enable()


def taken(headers: list[Header]) -> TakenHead:
    """Take a head."""
    return take_head(b"/e", b"POST", "1.1", headers, keeps_alive=True)


def with_header(at: int, value: bytes) -> list[Header]:
    """Return the headers with another value of one."""
    return [(name, value if at == place else old) for place, (name, old) in enumerate(HEADERS)]


@pytest.mark.parametrize(
    ("headers", "is_equal"),
    [
        (list(HEADERS), True),
        (with_header(1, b"99"), True),
        (with_header(1, b"100"), False),
        (with_header(1, b"9"), False),
        (with_header(0, b"i"), False),
        (with_header(2, b"a/b"), False),
        (HEADERS[::-1], False),
        (HEADERS[:2], False),
        (HEADERS[::2], False),
        ([*HEADERS, (b"x", b"y")], False),
        ([HEADERS[0], (b"content-lengths", b"10"), HEADERS[2]], False),
        ([], False),
    ],
)
def test_an_equal_head(headers: list[Header], is_equal: bool) -> None:
    """Equal are heads that differ in the digits of their length at most, whichever came before."""
    head = taken(HEADERS)
    for _ in range(2):
        assert repeats(head, b"/e", b"POST", "1.1", headers) is is_equal
        assert repeats(head, b"/e", b"POST", "1.1", list(HEADERS))
    assert not repeats(head, b"/f", b"POST", "1.1", list(HEADERS))
    assert not repeats(head, b"/e", b"PUT", "1.1", list(HEADERS))
    assert not repeats(head, b"/e", b"POST", "1.0", list(HEADERS))


def test_a_head_without_length() -> None:
    """It is equal to none that has one."""
    head = taken([HEADERS[0]])
    assert repeats(head, b"/e", b"POST", "1.1", [HEADERS[0]])
    assert not repeats(head, b"/e", b"POST", "1.1", HEADERS[:2])
