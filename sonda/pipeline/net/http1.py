"""HTTP/1.1 for one request at a time, on a kept connection.

Where ready-made clients leave it open whether bytes have left, the `Attempt` of a request says it,
at any time. No redirect is followed, no cookie kept and no variable of the environment read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import httpx
from msgspec import Struct

from sonda.pipeline.deadline import Deadline, TimeLimit
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net.connection import Connection, TlsParameters
from sonda.pipeline.net.http1_response import (
    ANSWER_BYTES,
    LONGEST_SHARED,
    Answer,
    BadAnswer,
    shared_answer,
)
from sonda.pipeline.net.pool import ConnectionKey, ConnectionPool
from sonda.pipeline.net.proxies import Proxies, Tunnel
from sonda.pipeline.net.sockets import CHUNK_BYTES
from sonda.pipeline.values.addresses import address_of, without_zone


@dataclass(frozen=True, slots=True)
class Resource:
    """Where requests go, and what the head of each begins with: worked out once for them all."""

    key: ConnectionKey
    head: bytes


class HttpRequest(Struct, frozen=True, eq=False):
    """A request: its *body* is put together once there is a connection for it.

    It is put together anew if that connection turns out to be dead. *attempt* tells how far it has
    got. At most *answer_bytes* of the answer's body are read.
    """

    resource: Resource
    body: Callable[[], bytes]
    attempt: Attempt
    deadline: Deadline
    is_yes: Callable[[int], bool]
    answer_bytes: int = ANSWER_BYTES


Ended: TypeAlias = Callable[[Answer | OSError], None]
"""Called once with the answer to a request, or with why there is none."""


class Exchange(Struct, eq=False):
    """A request that has left whole on a kept connection, until its answer is there.

    No task waits for it: the answer is parsed where it is received, and *ended* called.
    """

    request: HttpRequest
    connection: Connection
    pool: ConnectionPool
    ended: Ended | None
    is_long: bool  # more than any peer's system takes that nobody reads from
    answer: Answer | None = None  # as much of it as is there, once that is not all
    is_over: bool = False

    @property
    def at_s(self) -> float:
        """When its deadline is over, on the loop's clock."""
        return self.request.deadline.at_s

    def feed(self, received: bytes) -> None:
        """Parse received bytes, none at the end of the stream."""
        answer = self.answer
        if answer is None and len(received) <= LONGEST_SHARED:
            answer = shared_answer(received)
        if answer is None or not answer.complete:
            answer = self.answer = self.answer or Answer(self.request.answer_bytes)
            try:
                answer.feed(received)
            except BadAnswer as exc:
                self.fail(exc)
                return
        if answer.complete:
            connection = self.connection
            connection.idle_s = answer.idle_s
            came_early = self.is_long and connection.socket.has_unacked()
            if came_early or not (answer.may_go_on and connection.idle_s):
                connection.close()
            self._end(answer)

    def fail(self, exc: OSError) -> None:
        """End without an answer."""
        self._end(exc, exc)

    def interrupt(self) -> None:
        """End without an answer, for the deadline is over."""
        self.fail(TimeoutError())

    def abandon(self) -> None:
        """Hang up, for nobody waits for the answer."""
        self.ended = None
        self._end(None, asyncio.CancelledError())

    def _end(self, what: Answer | OSError | None, failure: BaseException | None = None) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.pool.timeouts.limits.pop(self, None)
        if (sock := self.connection.plain) is not None:
            sock.listener = None
        self.pool.release(self.request.resource.key, self.connection, failure)
        if self.ended is not None and what is not None:
            self.ended(what)


class HttpTransport:
    """Sends requests, each on a connection that no other one uses, and reads the answers whole.

    *start* does work in a task of its own.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        proxies: Proxies | None = None,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] | None = None,
    ) -> None:
        self._pool = pool
        self._proxies = proxies
        self._start = start

    def resource(
        self,
        sink: str,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        secure: TlsParameters | None,
    ) -> Resource:
        """Return where requests of a kind of *sink* go, through a proxy where one is due.

        The headers tell connections apart, all of them: which say who is asking only the
        destination knows.
        """
        address, credentials = address_of(url), tuple(headers.raw)
        proxy = None if self._proxies is None else self._proxies.find(url)
        if proxy is None:
            key = ConnectionKey(sink, address, secure, credentials)
            return Resource(key, head(method, url, headers))
        tunnel = Tunnel(address, proxy.authorization) if secure else None
        key = ConnectionKey(sink, proxy.address, secure, credentials, tunnel)
        if secure:
            return Resource(key, head(method, url, headers))
        return Resource(key, head(method, url, headers, proxy_authorization=proxy.authorization))

    async def exchange(self, request: HttpRequest) -> Answer:
        """Send a request and wait for the answer, all within the deadline.

        Raises `OSError`, a `TimeoutError` without a number once the deadline is over, and
        `DestinationNotAllowed` where the operator does not allow the destination.
        """
        with TimeLimit(self._pool.timeouts, request.deadline.at_s):
            step = partial(_exchange, request)
            return await self._pool.use(request.resource.key, step, request.attempt)

    def begin(self, request: HttpRequest, ended: Ended) -> Callable[[], object] | None:
        """Send a request without waiting, if a kept connection takes it; *ended* is called later.

        Return what to call where nobody waits for the answer any more: then *ended* is not called.
        Where it is `None` nothing has left.
        """
        pool, key = self._pool, request.resource.key
        if key.secure is not None or self._start is None:
            return None
        connection = pool.acquire_nowait(key, request.attempt)
        sock = None if connection is None else connection.plain
        if connection is None or sock is None:
            return None
        try:
            message = _message(request)
        except BaseException:
            pool.release(key, connection)
            raise
        sent_bytes = sock.send_at_once(message)
        if not sent_bytes:
            pool.release(key, connection)
            return None
        if sent_bytes < len(message):
            rest = partial(_exchange, request, rest=message[sent_bytes:])
            return self._start(self._go_on(request, connection, rest, ended)).cancel
        exchange = Exchange(request, connection, pool, ended, sent_bytes > CHUNK_BYTES)
        timeouts = pool.timeouts
        timeouts.limits[exchange] = None
        if request.deadline.at_s < timeouts.expiry.at_s:
            timeouts.expiry.until(request.deadline.at_s)
        sock.listen(exchange)
        return exchange.abandon

    async def _go_on(
        self,
        request: HttpRequest,
        connection: Connection,
        step: Callable[[Connection], Awaitable[Answer]],
        ended: Ended,
    ) -> None:
        """Send the rest of a request that has begun to leave, and wait for the answer."""
        try:
            with TimeLimit(self._pool.timeouts, request.deadline.at_s):
                answer = await self._pool.use_acquired(request.resource.key, connection, step)
        except OSError as exc:
            ended(exc)
        else:
            ended(answer)


async def _exchange(
    request: HttpRequest, connection: Connection, *, rest: bytes | None = None
) -> Answer:
    """Send the request and read the answer, which may come before all of the request is sent.

    A no counts at once; after a yes the rest is sent all the same. A yes that came before any of
    the request was sent raises `BadAnswer`: it is about something else. *rest* is what is left of
    a request that has begun to leave.
    """
    if not connection.reused and (refusal := await _refusal_beforehand(connection, request)):
        return refusal
    message, is_yes = rest or _message(request), request.is_yes
    failed: OSError | None = None
    answering: asyncio.Task[Answer] | None = None
    refused: asyncio.Future[None] | None = None

    def listen() -> asyncio.Future[None]:
        """Return what is done once no more need be sent."""
        nonlocal answering, refused
        if answering is None or refused is None:
            answering = asyncio.create_task(_answer(connection, request))
            refused = asyncio.get_running_loop().create_future()
            answering.add_done_callback(partial(_stop_unless_yes, refused, is_yes))
        return refused

    try:
        try:
            sent_all = await connection.send(message, listen)
        except OSError as exc:  # the answer of a server that hangs up on what it refuses counts
            failed, sent_all = exc, False
        came_early = answering is not None and answering.done()
        answer = await (answering or _answer(connection, request))
        # The acknowledgement of what the peer has read comes with its answer, or before.
        came_early = came_early or connection.socket.has_unacked()
        if failed is not None and is_yes(answer.status):
            raise failed  # a yes to a part of the event is none
    except ssl.SSLError:
        raise  # an alert, which tells why
    except OSError as exc:
        raise (failed or exc) from None
    finally:
        if answering is not None and not answering.done():
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
    connection.idle_s = answer.idle_s
    if came_early or not (sent_all and answer.may_go_on and connection.idle_s):
        connection.close()
    return answer


def _message(request: HttpRequest) -> bytes:
    body = request.body()
    return b"%bContent-Length: %d\r\n\r\n%b" % (request.resource.head, len(body), body)


async def _refusal_beforehand(connection: Connection, request: HttpRequest) -> Answer | None:
    """Return a no that a fresh connection's peer began with; `None` for mere interim answers.

    Raise `BadAnswer` for a yes. Nothing is sent meanwhile: it would be sent to nobody who reads.
    """
    if not connection.has_early_input():
        return None
    request.attempt.has_received = True
    answer = Answer(request.answer_bytes)
    while not answer.complete:
        answer.feed(await connection.receive())
        if not answer.has_begun:
            return None
    if request.is_yes(answer.status):
        raise BadAnswer("it answered before it was asked")
    connection.close()
    return answer


def head(
    method: str, url: httpx.URL, headers: httpx.Headers, *, proxy_authorization: str | None = None
) -> bytes:
    """Write all that comes before `Content-Length`.

    To a proxy, which may ask for no authorization (""), the target is in absolute form (RFC 9112,
    section 3.2.2).
    """
    target, ours = url.raw_path, []
    if proxy_authorization is not None:
        target = b"http://%b%b" % (without_zone(url.netloc.decode()).encode(), target)
        if proxy_authorization:
            ours = [b"Proxy-Authorization: %b" % proxy_authorization.encode("ascii")]
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target), *ours]
    lines += [b"%b: %b" % pair for pair in headers.raw]
    return b"\r\n".join([*lines, b""])


def _stop_unless_yes(
    refused: asyncio.Future[None], is_yes: Callable[[int], bool], answered: asyncio.Task[Answer]
) -> None:
    if answered.cancelled() or refused.done():
        return
    if answered.exception() is not None or not is_yes(answered.result().status):
        refused.set_result(None)


async def _answer(connection: Connection, request: HttpRequest) -> Answer:
    answer = Answer(request.answer_bytes)
    while not answer.complete:
        received = await connection.receive()
        request.attempt.has_received |= bool(received)
        answer.feed(received)
    return answer
