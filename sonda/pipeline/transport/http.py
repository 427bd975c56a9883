"""HTTP/1.1 for one event at a time, under httpx's transport interface.

Where httpx's own transport leaves it open whether bytes have left, this one does not: a
`ConnectError`, `ConnectTimeout` or `PoolTimeout` means that none has; any other `TransportError`
means that some may have. It follows no redirect, keeps no cookie and reads no proxy variable.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Hashable
from functools import partial
from typing import Final

import h11
import httpx

from sonda.pipeline.addresses import address_of
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.transport.sockets import is_late, reason
from sonda.pipeline.transport.streams import Journey, Route, Secure, Stream, Streams

ANSWER_BYTES: Final = 65536  # of a body; an answer that goes on is complete all the same


class HttpTransport(httpx.AsyncBaseTransport):
    """Sends a request on a kept connection and reads the answer whole.

    A request's extensions say how: `deadline` (a `Deadline`), `secure` (a `Secure` or `None`) and
    the kind of `sink`; in `journey` (a `Journey`) it notes how far it has got.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and wait for the answer, all within the deadline.

        Raises `NotAllowed` where the operator does not allow the destination.
        """
        deadline: Deadline = request.extensions["deadline"]
        secure: Secure | None = request.extensions["secure"]
        journey: Journey = request.extensions["journey"]
        sink, credentials = request.extensions["sink"], _credentials(request.headers)
        route = Route(sink, address_of(request.url), secure, credentials)
        try:
            async with asyncio.timeout_at(deadline.at_s):
                return await self._streams.use(route, partial(_exchange, request), journey)
        except (OSError, h11.RemoteProtocolError) as exc:
            failed: type[httpx.TransportError] = (
                httpx.ReadError if journey.left else httpx.ConnectError
            )
            if is_late(exc):
                failed = httpx.ReadTimeout if journey.left else httpx.ConnectTimeout
            raise failed(reason(exc, deadline), request=request) from exc


def _credentials(headers: httpx.Headers) -> Hashable:
    """All headers but the length: which of them say who is asking only the destination knows."""
    return tuple(pair for pair in headers.raw if pair[0].lower() != b"content-length")


async def _exchange(request: httpx.Request, stream: Stream) -> httpx.Response:
    """Send the request and read the answer, which may come before all of the request is sent."""
    connection = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=ANSWER_BYTES)
    head = h11.Request(
        method=request.method, target=request.url.raw_path, headers=request.headers.raw
    )
    body: bytes = request.content
    outgoing = [connection.send(head), connection.send(h11.Data(body))]
    outgoing.append(connection.send(h11.EndOfMessage()))
    answering = asyncio.create_task(_answer(stream, connection))
    try:
        sent_all = await stream.send(b"".join(filter(None, outgoing)), until=answering)
        answer = await answering
    except OSError as failed:  # the answer of a server that hangs up on what it refuses counts
        sent_all = False
        try:
            answer = await answering
        except ssl.SSLError:
            raise  # an alert, which tells why
        except (OSError, h11.RemoteProtocolError):
            raise failed from None
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
    if not (sent_all and _may_go_on(connection)):
        stream.close()
    return answer


def _may_go_on(connection: h11.Connection) -> bool:
    """Tell whether both sides keep the connection, and no more has come than was asked for."""
    both_done = connection.our_state is h11.DONE and connection.their_state is h11.DONE
    return both_done and not connection.trailing_data[0]


async def _answer(stream: Stream, connection: h11.Connection) -> httpx.Response:
    head = await _next_event(stream, connection)
    while isinstance(head, h11.InformationalResponse):
        head = await _next_event(stream, connection)
    if not isinstance(head, h11.Response):
        raise h11.RemoteProtocolError("the protocol was switched instead of an answer")
    body = bytearray()
    while len(body) < ANSWER_BYTES and isinstance(
        part := await _next_event(stream, connection), h11.Data
    ):
        body += part.data
    headers = [pair for pair in head.headers if pair[0] != b"content-encoding"]  # left as it is
    return httpx.Response(
        head.status_code,
        headers=headers,
        stream=httpx.ByteStream(bytes(body[:ANSWER_BYTES])),
        extensions={"reason_phrase": bytes(head.reason)},
    )


async def _next_event(stream: Stream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        received = await stream.receive()
        if not received and connection.their_state is h11.SEND_RESPONSE:
            raise ConnectionResetError("the connection was closed without an answer")
        connection.receive_data(received)
    return event
