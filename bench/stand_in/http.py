"""An HTTP/1.1 server that answers every request with 204."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import httptools

from .counts import Tally

NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
SNAPPY: Final = (b"content-encoding", b"snappy")


class Http(asyncio.Protocol):
    """One connection, on which one request is under way at a time."""

    def __init__(self, tally: Tally, delay_s: float) -> None:
        self._tally = tally
        self._delay_s = delay_s
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.WriteTransport | None = None
        self._body: list[bytes] = []
        self._compressed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are registered with none of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._tally.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note that a body is compressed."""
        if (name.lower(), value) == SNAPPY:
            self._compressed = True

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Count the request, and answer it when its time has come."""
        take = self._tally.take_compressed if self._compressed else self._tally.take
        take(b"".join(self._body))
        self._body.clear()
        self._compressed = False
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if self._transport is not None:  # else the client has hung up
            self._transport.write(NO_CONTENT)
