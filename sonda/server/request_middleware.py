"""One request and its answer: its id, its place among those in flight, its bytes, its line in the log.

`RequestMiddleware` is plain ASGI. `Cycle` overrides uvicorn 0.54: each docstring says what uvicorn
would do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Any, Final, TypeAlias

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from sonda.envelope import envelope
from sonda.http_answers import failed
from sonda.observe.access_log import log_access
from sonda.observe.metrics import Metrics
from sonda.observe.record import EVENT_STATUSES
from sonda.rejections import Busy, BusyBytes, ForbiddenHost, Rejection
from sonda.resources.errors import DELIVERY, RequestRejected, requested_form
from sonda.resources.request import BODY_IS_WHOLE, HEAD_FACTS, HeadFacts, Message, Receive
from sonda.server.host_check import HostCheck
from sonda.server.request_head import HEADER, head_facts

Scope: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ID: Final = "sonda.id"  # where a request's scope keeps it
_EVENT_STREAM: Final = b"text/event-stream"

HEALTH: Final = "/health"
PROBES: Final = frozenset({HEALTH, "/ready", "/metrics"})
"""The paths that are answered under any load: they say how the server is."""


class _Series:
    """Ids that no other process has: random where they begin, and then counted."""

    def __init__(self) -> None:
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self.prefix = os.urandom(12).hex()
        self.numbers = count()


_SERIES: Final = _Series()


def request_id(given: str = "") -> str:
    """Return the caller's own id, if it has *given* one; else a new one."""
    return given or f"{_SERIES.prefix}{next(_SERIES.numbers):08x}"


class RequestMiddleware:
    """Assigns request ids, bounds the requests in flight, and logs a line for each request.

    *max_requests* and *max_bytes* bound the requests whose bodies have arrived. Bodies that are
    still arriving have as many bytes again: beyond them the one that has been arriving for the
    longest is turned away, so that slow senders never keep a quick one out. With a *host_check* a
    request whose `Host` does not pass it is refused, but for `/health`.
    """

    def __init__(
        self,
        app: AsgiApp,
        max_requests: int,
        max_bytes: int,
        metrics: Metrics,
        host_check: HostCheck | None = None,
    ) -> None:
        self._app = app
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._host_check = host_check
        self._requests = 0
        self._bytes = 0
        self._arriving: dict[_Request, None] = {}  # in the order of their first bytes
        self._arriving_bytes = 0
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; probes are answered under any load."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if HEAD_FACTS not in scope:  # of another server's protocol, or of a test
            scope[HEAD_FACTS] = head_facts(scope["headers"])
        facts: HeadFacts = scope[HEAD_FACTS]
        request = _Request(self, scope, facts, receive, send)
        passes = self._requests < self._max_requests and facts.host_passes
        if not passes and (rejection := self._rejection(scope, facts)) is not None:
            await _refuse(scope, request.send, rejection)
        elif scope["path"] in PROBES:
            await self._app(scope, receive, request.send)
        else:
            try:
                await self._app(scope, request.receive, request.send)
            finally:
                self.leave(request)

    def _rejection(self, scope: Scope, facts: HeadFacts) -> Rejection | None:
        """Return why a request is turned away before anybody reads more than its head."""
        path = scope["path"]
        if self._requests >= self._max_requests and path not in PROBES:
            return Busy(self._max_requests)
        if self._host_check is not None and path != HEALTH:
            for name, value in scope["headers"]:
                if name == b"host" and not self._host_check.passes(value):
                    return ForbiddenHost(value.decode("latin-1"))
        facts.host_passes = True
        return None

    def grow(self, request: _Request, size_bytes: int) -> None:
        """Count bytes of a body that is still arriving; turn others away where they are too many."""
        self._arriving[request] = None
        self._arriving_bytes += size_bytes
        while self._arriving_bytes > self._max_bytes and len(self._arriving) > 1:
            oldest = next(other for other in self._arriving if other is not request)
            self._forget(oldest)
            oldest.turn_away()

    def admit(self, request: _Request) -> None:
        """Count a request whose body has arrived; raise `RequestRejected` where there is no place for it."""
        if request in self._arriving:
            self._forget(request)
        if self._requests >= self._max_requests:
            raise RequestRejected(Busy(self._max_requests))
        if self._bytes and self._bytes + request.size_bytes > self._max_bytes:
            raise RequestRejected(BusyBytes(self._max_bytes))
        request.is_admitted = True
        self._requests += 1
        self._bytes += request.size_bytes
        self.metrics.inflight(self._requests)

    def leave(self, request: _Request) -> None:
        """Count a request no longer."""
        if request.is_admitted:
            self._requests -= 1
            self._bytes -= request.size_bytes
            self.metrics.inflight(self._requests)
        elif request in self._arriving:
            self._forget(request)

    def busy(self) -> RequestRejected:
        """Return why a body that was arriving is turned away."""
        return RequestRejected(BusyBytes(self._max_bytes))

    def _forget(self, request: _Request) -> None:
        del self._arriving[request]
        self._arriving_bytes -= request.size_bytes


class _Request:
    """One request: its `receive`, which counts its bytes, and its `send`, which logs its answer."""

    def __init__(
        self,
        gate: RequestMiddleware,
        scope: Scope,
        facts: HeadFacts,
        receive: Receive,
        send: Send,
    ) -> None:
        self._gate = gate
        self._scope = scope
        self._facts = facts
        self._receive = receive
        self._send = send
        self._reader: asyncio.Task[Any] | None = None
        self._is_turned_away = False
        self.is_admitted = False
        self.size_bytes = 0
        scope[ID] = request_id(facts.given_id)

    async def receive(self) -> Message:
        """Receive a message; raise `RequestRejected` where the body is not taken."""
        if not self._scope.get(BODY_IS_WHOLE, False):  # else nobody turns it away meanwhile
            self._reader = asyncio.current_task()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self._is_turned_away and self._reader is not None:
                self._reader.uncancel()
                raise self._gate.busy() from None
            raise
        if message["type"] == "http.request" and not self.is_admitted:
            size_bytes = len(message.get("body", b""))
            self.size_bytes += size_bytes
            if message.get("more_body", False):
                self._gate.grow(self, size_bytes)
            else:
                self._gate.admit(self)
        return message

    def send(self, message: dict[str, Any]) -> Awaitable[None]:
        """Send a message; the answer gets the request's id, and is logged before it begins."""
        if message["type"] == "http.response.start":
            scope, facts, status = self._scope, self._facts, message["status"]
            own_id = scope[ID]
            message["headers"] = [*message["headers"], (HEADER, own_id.encode("ascii"))]
            delivery = scope.get(DELIVERY) if status in EVENT_STATUSES else None
            request = facts.request or _shown(scope, facts)
            log_access(*request, status, own_id, delivery)
            if delivery is None:
                self._gate.metrics.answered(status)
        return self._send(message)

    def turn_away(self) -> None:
        """End the wait for the rest of this body."""
        self._is_turned_away = True
        if self._reader is not None:
            self._reader.cancel()


def _shown(scope: Scope, facts: HeadFacts) -> tuple[str, str, str, str]:
    """Return client, method, target and version of a request, as its line in the log has them."""
    host, port = scope.get("client") or ("", 0)
    path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
    target = (path + b"?" + query if query else path).decode("latin-1")
    facts.request = (f"{host}:{port}", scope["method"], target, scope["http_version"])
    return facts.request


async def _refuse(scope: Scope, send: Send, rejection: Rejection) -> None:
    """Answer in the place of the app."""
    answer = failed(rejection, requested_form(scope))
    headers: Iterable[tuple[bytes, bytes]] = (
        *((name.lower().encode(), value.encode()) for name, value in answer.headers.items()),
        (b"content-type", answer.media_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
    )
    await send({"type": "http.response.start", "status": answer.status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": answer.body})


class Cycle(RequestResponseCycle):
    """One request and its answer: one body of a known length, or a stream until the end."""

    body_is_broken = False
    _is_streaming = False
    _start: HTTPResponseStartEvent

    async def receive(self) -> ASGIReceiveEvent:
        """Let the app see a broken body; uvicorn does not know of any.

        A body that is whole is handed over at once, once; uvicorn would await its event.
        """
        is_open = not (self.disconnected or self.response_complete or self.waiting_for_100_continue)
        if is_open and not self.more_body and self.message_event.is_set():
            self.flow.resume_reading()
            self.message_event.clear()
            body, self.body = bytes(self.body), bytearray()
            return {"type": "http.request", "body": body, "more_body": False}
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
        if not self.transport.is_closing():  # uvicorn tells only the newest request that they left
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
        if self.scope["method"] != "HEAD" and not self.transport.is_closing():
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
        headers = [*self.default_headers, *self._start["headers"]]
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"\r\n".join(map(b": ".join, headers))
        return b"%b%b\r\n\r\n" % (STATUS_LINE[self._start["status"]], lines)
