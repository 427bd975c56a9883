"""HTTP/1.1 for one event at a time, under httpx's transport interface.

Where httpx's own transport leaves it open whether bytes have left, this one does not: a
`ConnectError`, `ConnectTimeout` or `PoolTimeout` means that none has; any other `TransportError`
means that some may have. It follows no redirect, keeps no cookie and reads no proxy variable.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import inf
from typing import Final, cast

import httpx

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.net.connection import Attempt, Connection, TlsParameters
from sonda.pipeline.net.http1_response import Answer
from sonda.pipeline.net.pool import ConnectionKey, ConnectionPool
from sonda.pipeline.net.proxies import Proxies, Proxy, Tunnel
from sonda.pipeline.net.sockets import is_late, reason
from sonda.pipeline.values.addresses import address_of, without_zone

_KEEP_ALIVE: Final = re.compile(rb"(?i)\btimeout[ \t]*=[ \t]*\"?([0-9]{1,9})")


class HttpTransport(httpx.AsyncBaseTransport):
    """Sends a request on a kept connection and reads the answer whole.

    A request's extensions say how: `deadline` (a `Deadline`), `secure` (a `TlsParameters` or `None`) and
    the kind of `sink`, and how many `answer_bytes` of a body to read; in `journey` (a `Attempt`) it notes how far it has got. The body is put
    together once there is a connection for it, and anew if that one turns out to be dead.
    """

    def __init__(self, streams: ConnectionPool, proxies: Proxies | None = None) -> None:
        self._streams = streams
        self._proxies = proxies

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and wait for the answer, all within the deadline.

        Raises `DestinationNotAllowed` where the operator does not allow the destination.
        """
        deadline: Deadline = request.extensions["deadline"]
        secure: TlsParameters | None = request.extensions["secure"]
        journey: Attempt = request.extensions["journey"]
        sink, credentials = request.extensions["sink"], _credentials(request.headers)
        address = address_of(request.url)
        route = ConnectionKey(sink, address, secure, credentials)
        proxy = None if self._proxies is None else self._proxies.find(request.url)
        if proxy is not None:
            tunnel = Tunnel(address, proxy.authorization) if secure else None
            route = ConnectionKey(sink, proxy.address, secure, credentials, tunnel)
            request.extensions["proxy"] = None if secure else proxy
        try:
            async with asyncio.timeout_at(deadline.at_s):
                return await self._streams.use(route, partial(_exchange, request), journey)
        except OSError as exc:
            failed: type[httpx.TransportError] = (
                httpx.ReadError if journey.left else httpx.ConnectError
            )
            if is_late(exc):
                failed = httpx.ReadTimeout if journey.left else httpx.ConnectTimeout
            raise failed(reason(exc, deadline), request=request) from exc


def _credentials(headers: httpx.Headers) -> Hashable:
    """All of the headers: which of them say who is asking only the destination knows."""
    return tuple(headers.raw)


async def _exchange(request: httpx.Request, stream: Connection) -> httpx.Response:
    """Send the request and read the answer, which may come before all of the request is sent.

    A no counts at once; after a yes the rest is sent all the same.
    """
    body = b"".join([part async for part in cast("httpx.AsyncByteStream", request.stream)])
    answer_bytes: int = request.extensions["answer_bytes"]
    is_yes: Callable[[int], bool] = request.extensions["is_yes"]
    failed: OSError | None = None
    answering: asyncio.Task[Answer] | None = None
    refused: asyncio.Future[None] | None = None

    def listen() -> asyncio.Future[None]:
        """Return what is done once no more need be sent."""
        nonlocal answering, refused
        if answering is None or refused is None:
            answering = asyncio.create_task(_answer(stream, answer_bytes))
            refused = asyncio.get_running_loop().create_future()
            answering.add_done_callback(partial(_stop_unless_yes, refused, is_yes))
        return refused

    try:
        try:
            sent_all = await stream.send(head(request, len(body)) + body, meanwhile=listen)
        except OSError as exc:  # the answer of a server that hangs up on what it refuses counts
            failed, sent_all = exc, False
        came_early = answering is not None and answering.done()
        answer = await (answering or _answer(stream, answer_bytes))
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
    stream.idle_s = idle_s(answer.headers)
    if came_early or not (sent_all and answer.may_go_on and stream.idle_s):
        stream.close()
    return _response(answer)


def head(request: httpx.Request, body_bytes: int) -> bytes:
    """Write all that comes before a body of *body_bytes*."""
    target, ours = request.url.raw_path, []
    proxy: Proxy | None = request.extensions.get("proxy")
    if proxy is not None:  # in absolute form (RFC 9112, section 3.2.2)
        target = b"http://%b%b" % (without_zone(request.url.netloc.decode()).encode(), target)
        if proxy.authorization:
            ours = [b"Proxy-Authorization: %b" % proxy.authorization.encode("ascii")]
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target), *ours]
    lines += [b"%b: %b" % pair for pair in request.headers.raw]
    lines.append(b"Content-Length: %d\r\n\r\n" % body_bytes)
    return b"\r\n".join(lines)


def idle_s(headers: Sequence[tuple[bytes, bytes]]) -> float:
    """Return how long a connection may be kept; 0 if not at all.

    A server that says `Keep-Alive: timeout=5` closes it after 5 s: it is given up a second before.
    """
    said = b",".join(value for name, value in headers if name.lower() == b"keep-alive")
    found = _KEEP_ALIVE.search(said)
    return inf if found is None else max(0.0, int(found[1]) - 1.0)


def _stop_unless_yes(
    refused: asyncio.Future[None], is_yes: Callable[[int], bool], answered: asyncio.Task[Answer]
) -> None:
    if answered.cancelled() or refused.done():
        return
    if answered.exception() is not None or not is_yes(answered.result().status):
        refused.set_result(None)


async def _answer(stream: Connection, answer_bytes: int) -> Answer:
    answer = Answer(answer_bytes)
    while not answer.complete:
        answer.feed(await stream.receive())
    return answer


def _response(answer: Answer) -> httpx.Response:
    return httpx.Response(
        answer.status,
        headers=answer.headers,
        stream=httpx.ByteStream(bytes(answer.body)),
        extensions={"reason_phrase": answer.phrase, "whole": answer.whole},
    )
