"""HTTP/1.1 for one event at a time, under httpx's transport interface.

Where httpx's own transport leaves it open whether bytes have left, this one does not: a
`ConnectError`, `ConnectTimeout` or `PoolTimeout` means that none has; any other `TransportError`
means that some may have. It follows no redirect, keeps no cookie and reads no proxy variable.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
import httpx

from sonda.pipeline.addresses import Address
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.transport.sockets import timed_out, words
from sonda.pipeline.transport.streams import Route, Secure, Stream, Streams

ANSWER_BYTES: Final = 65536  # of a body; an answer that goes on is complete all the same
_PORTS: Final = {"http": 80, "https": 443}


class HttpTransport(httpx.AsyncBaseTransport):
    """Sends a request on a kept connection and reads the answer whole.

    A request's extensions say how: `deadline` (a `Deadline`) and `secure` (a `Secure` or `None`).
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and wait for the answer, all within the deadline."""
        deadline: Deadline = request.extensions["deadline"]
        secure: Secure | None = request.extensions["secure"]
        route = Route(_address(request.url), secure, tuple(request.headers.raw))
        sent = _Sent()
        try:
            async with asyncio.timeout_at(deadline.at_s):
                return await self._deliver(request, route, sent)
        except TimeoutError as exc:
            failed = httpx.ReadTimeout if sent.any else httpx.ConnectTimeout
            raise failed(timed_out(exc, deadline), request=request) from None
        except (OSError, h11.RemoteProtocolError) as exc:
            lost = httpx.ReadError if sent.any else httpx.ConnectError
            raise lost(words(exc), request=request) from exc

    async def _deliver(self, request: httpx.Request, route: Route, sent: _Sent) -> httpx.Response:
        """Exchange on a kept connection; on a fresh one if the kept one turns out to be dead."""
        for fresh in (False, True):
            async with self._streams.lease(route, fresh=fresh) as stream:
                mark = stream.sent_bytes
                try:
                    return await _exchange(stream, request)
                except OSError:
                    if stream.sent_bytes > mark or not stream.reused:
                        raise
                    stream.close()
                finally:
                    sent.any = stream.sent_bytes > mark
        raise AssertionError("a fresh connection is never a reused one")


class _Sent:
    """Whether a byte of the request has left."""

    any = False


def _address(url: httpx.URL) -> Address:
    return Address(url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])


async def _exchange(stream: Stream, request: httpx.Request) -> httpx.Response:
    connection = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=ANSWER_BYTES)
    head = h11.Request(
        method=request.method, target=request.url.raw_path, headers=request.headers.raw
    )
    body: bytes = request.content
    outgoing = [connection.send(head), connection.send(h11.Data(body))]
    outgoing.append(connection.send(h11.EndOfMessage()))
    try:
        await stream.send(b"".join(filter(None, outgoing)))
    except OSError as failed:
        # A server may answer before it has read all, and hang up: its answer counts.
        try:
            return await _answer(stream, connection)
        except (OSError, h11.RemoteProtocolError):
            raise failed from None
    return await _answer(stream, connection)


async def _answer(stream: Stream, connection: h11.Connection) -> httpx.Response:
    head = await _next_event(stream, connection)
    while isinstance(head, h11.InformationalResponse):
        head = await _next_event(stream, connection)
    if not isinstance(head, h11.Response):
        raise ConnectionResetError("the connection was closed without an answer")
    body = bytearray()
    while len(body) < ANSWER_BYTES and isinstance(
        part := await _next_event(stream, connection), h11.Data
    ):
        body += part.data
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        stream.close()  # one of the sides will not go on with this connection
    elif connection.trailing_data[0]:
        stream.close()  # more than was asked for
    headers = [pair for pair in head.headers if pair[0] != b"content-encoding"]  # left as it is
    return httpx.Response(
        head.status_code,
        headers=headers,
        stream=httpx.ByteStream(bytes(body[:ANSWER_BYTES])),
        extensions={"reason_phrase": bytes(head.reason)},
    )


async def _next_event(stream: Stream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive())
    return event
