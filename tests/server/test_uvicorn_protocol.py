"""The protocol around an app that is not ours; `test_server.py` has all that ours can show."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from sonda.server.protocol import EventProtocol
from tests.support.serving import PATIENCE_S

REQUEST = b"POST /events HTTP/1.1\r\nHost: sonda\r\nContent-Length: 2\r\n\r\n{}"


async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
    """An app with a bug that it does not handle."""
    raise KeyError("secret")


async def endless(_scope: Any, _receive: Any, send: Any) -> None:
    """An app that answers in pieces, as ours never does."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})


async def ask(app: Any) -> bytes:
    """Send one request, and read until the server hangs up."""
    config = uvicorn.Config(
        app, interface="asgi3", http=EventProtocol, lifespan="off", log_config=None
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: EventProtocol(config, state, {}), "127.0.0.1", 0)
    async with asyncio.timeout(PATIENCE_S), server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


def test_an_app_that_raises_is_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    """The answer has the contract's shape and no secret, the log the traceback; it is the last one."""
    head, body = asyncio.run(ask(broken)).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"connection: close" in head.split(b"\r\n")
    expected = {"error": "internal_server_error", "detail": "runtime error: see the log"}
    assert json.loads(body) == expected
    assert "KeyError: 'secret'" in caplog.text


def test_half_an_answer_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that could not be written whole is none, and the log says why."""
    with caplog.at_level(logging.ERROR):
        assert asyncio.run(ask(endless)) == b""
    assert "an answer goes on with http.response.body" in caplog.text
