"""Plain ASGI middleware: a request's id and its line in the log, the `Host` check, and admission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from sonda.answers import failed
from sonda.observe.access_log import log_access
from sonda.observe.metrics import Metrics
from sonda.rejections import Busy, BusyBytes, ForbiddenHost, Rejection
from sonda.resources.errors import DELIVERY, Rejected, requested_form
from sonda.resources.request import Message, Receive
from sonda.server.host_check import HostCheck
from sonda.server.request_id import HEADER, ID, request_id

Scope: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH: Final = "/health"
PROBES: Final = frozenset({HEALTH, "/ready", "/metrics"})
"""The paths that are answered under any load: they say how the server is."""


class RequestLogMiddleware:
    """Middleware that sets each request's id, and writes its line in the log once its answer begins."""

    def __init__(self, app: AsgiApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = scope[ID] = request_id(scope["headers"])

        async def send_logged(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, own_id.encode("ascii"))]
                self._log(scope, message["status"], own_id)
            await send(message)

        await self._app(scope, receive, send_logged)

    def _log(self, scope: Scope, status: int, own_id: str) -> None:
        host, port = scope.get("client") or ("", 0)
        path = scope.get("raw_path") or scope["path"].encode()
        query = scope["query_string"]
        target = (path + b"?" + query if query else path).decode("latin-1")
        delivery = scope.get(DELIVERY)
        version = scope["http_version"]
        log_access(f"{host}:{port}", scope["method"], target, version, status, own_id, delivery)
        self._metrics.answered(status, delivery)


class HostMiddleware:
    """Refuses requests whose `Host` the check does not pass; `/health` is exempt."""

    def __init__(self, app: AsgiApp, check: HostCheck) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http" and scope["path"] != HEALTH:
            for name, value in scope["headers"]:
                if name == b"host" and not self._check.passes(value):
                    await _refuse(scope, send, ForbiddenHost(value.decode("latin-1")))
                    return
        await self._app(scope, receive, send)


class AdmissionMiddleware:
    """Bounds the requests whose bodies have arrived, in number and in bytes.

    Bodies that are still arriving have as many bytes again: beyond them the one that has been
    arriving for the longest is turned away, so that slow senders never keep a quick one out.
    """

    def __init__(self, app: AsgiApp, max_requests: int, max_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._requests = 0
        self._bytes = 0
        self._arriving: dict[_Admission, None] = {}  # in the order of their first bytes
        self._arriving_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; probes are not counted."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._requests >= self._max_requests:
            await _refuse(scope, send, Busy(self._max_requests))
            return
        admission = _Admission(self, receive)
        try:
            await self._app(scope, admission.receive, send)
        finally:
            self.leave(admission)

    def grow(self, admission: _Admission, size_bytes: int) -> None:
        """Count bytes of a body that is still arriving; turn others away where they are too many."""
        self._arriving[admission] = None
        self._arriving_bytes += size_bytes
        while self._arriving_bytes > self._max_bytes and len(self._arriving) > 1:
            oldest = next(other for other in self._arriving if other is not admission)
            self._forget(oldest)
            oldest.turn_away()

    def admit(self, admission: _Admission) -> None:
        """Count a request whose body has arrived; raise `Rejected` where there is no place for it."""
        self._forget(admission)
        if self._requests >= self._max_requests:
            raise Rejected(Busy(self._max_requests))
        if self._bytes and self._bytes + admission.size_bytes > self._max_bytes:
            raise Rejected(BusyBytes(self._max_bytes))
        admission.is_admitted = True
        self._requests += 1
        self._bytes += admission.size_bytes
        self._metrics.inflight(self._requests)

    def leave(self, admission: _Admission) -> None:
        """Count a request no longer."""
        self._forget(admission)
        if admission.is_admitted:
            self._requests -= 1
            self._bytes -= admission.size_bytes
            self._metrics.inflight(self._requests)

    def busy(self) -> Rejected:
        """Return why a body that was arriving is turned away."""
        return Rejected(BusyBytes(self._max_bytes))

    def _forget(self, admission: _Admission) -> None:
        if admission in self._arriving:
            del self._arriving[admission]
            self._arriving_bytes -= admission.size_bytes


class _Admission:
    """One request on its way in: its `receive`, and how many bytes have come by it."""

    def __init__(self, gate: AdmissionMiddleware, receive: Receive) -> None:
        self._gate = gate
        self._receive = receive
        self._reader: asyncio.Task[Any] | None = None
        self._is_turned_away = False
        self.is_admitted = False
        self.size_bytes = 0

    async def receive(self) -> Message:
        """Receive a message; raise `Rejected` where the body is not taken."""
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

    def turn_away(self) -> None:
        """End the wait for the rest of this body."""
        self._is_turned_away = True
        if self._reader is not None:
            self._reader.cancel()


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
