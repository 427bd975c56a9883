"""A connection that has ended."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from weakref import ref

from uvicorn.config import Config
from uvicorn.server import ServerState

from sonda.server.protocol import EventProtocol

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
