"""One request and its answer on a connection, its id, and how the connection is closed after it.

The classes override uvicorn 0.54: each docstring says what uvicorn would do.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from sonda.envelope import envelope

LINGER_S: Final = 5.0
HEADER: Final = b"x-request-id"
ID: Final = "sonda.id"  # where a request's scope keeps it
_GIVEN: Final = re.compile(rb"[!-~]{1,128}")  # printable ASCII without blanks


class _Series:
    """Ids that no other process has: random where they begin, and then counted."""

    def __init__(self) -> None:
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self.prefix = os.urandom(12).hex()
        self.numbers = count()


_SERIES: Final = _Series()


def request_id(headers: Iterable[tuple[bytes, bytes]] = ()) -> str:
    """Return the caller's own id if the headers have one that may be repeated; else a new one."""
    for name, value in headers:
        if name == HEADER and _GIVEN.fullmatch(value):
            return value.decode("ascii")
    return f"{_SERIES.prefix}{next(_SERIES.numbers):08x}"


class LingeringTransport(asyncio.Transport):
    """A connection whose `close()` lets the client read its answer first.

    The operating system resets a connection that is closed with input unread, and a reset throws
    away the answer that is still on its way. So while *expects_input*, closing only ends our side;
    the client's end, a time-out or a second `close()` does the rest.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        expects_input: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._expects_input = expects_input
        self._deadline: asyncio.TimerHandle | None = None
        self.is_lingering = False

    def close(self) -> None:
        if self._deadline is not None:
            self._transport.close()
            return
        self.is_lingering = True
        self._deadline = self._loop.call_later(LINGER_S, self._transport.abort)
        if self._expects_input() and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        return self.is_lingering or self._transport.is_closing()

    def lost(self) -> None:
        """Note that the connection is gone; the protocol, which refers to this, is let go."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._expects_input = bool

    def abort(self) -> None:
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Write, unless nobody listens: uvicorn tells only the newest request that they left."""
        if not (self.is_lingering or self._transport.is_closing()):
            self._transport.write(data)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


_EVENT_STREAM: Final = b"text/event-stream"


class Cycle(RequestResponseCycle):
    """One request and its answer: one body of a known length, or a stream until the end."""

    body_is_broken = False
    _is_streaming = False
    _start: HTTPResponseStartEvent

    async def receive(self) -> ASGIReceiveEvent:
        """Let the app see a broken body; uvicorn does not know of any."""
        message = await super().receive()
        return {"type": "http.disconnect"} if self.body_is_broken else message

    async def send(self, message: ASGISendEvent) -> None:
        """Write head and body at once; uvicorn makes two system calls, and the client reads twice.

        Hang up after an answer that does not await the request's body: uvicorn would read on,
        however much may come.
        """
        if message["type"] == "http.response.start":
            self._start = message
            self.response_started = True
            return
        more = bool(message.get("more_body", False))
        if message["type"] != "http.response.body" or (more and not self._may_stream()):
            raise RuntimeError(f"an answer goes on with {message['type']}")
        if more or self._is_streaming:
            await self._stream(message.get("body", b""), more=more)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.more_body:
            self.keep_alive = False
        body = b"" if self.scope["method"] == "HEAD" else message.get("body", b"")
        self.transport.write(self._head() + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _may_stream(self) -> bool:
        """Return whether this is one of the only answers of unknown length."""
        return (b"content-type", _EVENT_STREAM) in self._start["headers"]

    async def _stream(self, body: bytes, *, more: bool) -> None:
        """Write a piece of an answer of unknown length, which the end of the connection ends."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self._is_streaming:
            self._is_streaming, self.keep_alive = True, False
            self.transport.write(self._head())
        if self.scope["method"] != "HEAD":
            self.transport.write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            self.transport.close()
            self.on_response()

    async def send_500_response(self) -> None:
        """Answer for an app that raised, in the contract's shape; uvicorn's answer is plain text."""
        self.keep_alive = False
        body = envelope(500, "runtime error: see the log")
        length = (b"content-length", b"%d" % len(body))
        own_id = (HEADER, request_id().encode("ascii"))
        headers = [(b"content-type", b"application/json"), length, own_id]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _head(self) -> bytes:
        lines = [STATUS_LINE[self._start["status"]]]
        for name, value in (*self.default_headers, *self._start["headers"]):
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)
