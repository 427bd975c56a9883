"""What a destination says before it was asked is no answer to the event."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx
import pytest

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net.connection import Connection
from sonda.pipeline.net.http1 import HttpRequest, Resource, _exchange
from sonda.pipeline.net.http1_response import BadAnswer
from sonda.pipeline.net.pool import ConnectionKey
from sonda.pipeline.values.addresses import address_of
from tests.support.mock_stream import MockSocket

YES: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


def request(attempt: Attempt) -> HttpRequest:
    """Return a request that any 2xx answers."""
    where = ConnectionKey("http_push", address_of(httpx.URL("http://h:1")))
    resource = Resource(where, b"POST / HTTP/1.1\r\n")
    return HttpRequest(
        resource, lambda: b"event", attempt, Deadline(1.0, 1.0), lambda status: status < 300
    )


class AnswersWhenAsked(MockSocket):
    """A peer that speaks once it has been sent something."""

    def _take(self, data: bytes) -> None:
        super()._take(data)
        self.incoming = [YES]


def fresh(sock: MockSocket) -> tuple[Connection, Attempt]:
    """Return a connection that carries its first event, and that event's try."""
    stream, attempt = Connection(sock), Attempt()
    attempt.attach(stream.socket, reused=stream.reused)
    return stream, attempt


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([YES], "it answered before it was asked"),
        ([YES[:5], YES[5:]], "it answered before it was asked"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + YES], "it answered before it was asked"),
        ([b"SSH-2.0-x\r\n"], "it is no answer of HTTP"),
        ([b"H"], "the connection was closed without an answer"),
    ],
)
def test_a_fresh_connection_that_speaks_first(said: list[bytes], why: str) -> None:
    """Nothing is sent there, and no yes can be about the event."""
    sock = MockSocket(said)
    stream, attempt = fresh(sock)
    with pytest.raises(BadAnswer, match=why):
        asyncio.run(_exchange(request(attempt), stream))
    assert not sock.written
    assert not attempt.has_left


@pytest.mark.parametrize("unacked", [False, True])
def test_an_answer_to_what_has_not_arrived(unacked: bool) -> None:
    """Who has read it all has acknowledged it; a connection with a rest under way is not kept."""
    sock = AnswersWhenAsked()
    sock.unacked = unacked
    stream, attempt = fresh(sock)
    assert asyncio.run(_exchange(request(attempt), stream)).status == 204
    assert stream.closed == unacked


def test_a_refusal_beforehand() -> None:
    """A server that is full may say so at once, and hang up."""
    sock = MockSocket([b"HTTP/1.1 503 Full\r\nContent-Length: 2\r\n\r\n", b"no"])
    stream, attempt = fresh(sock)
    answer = asyncio.run(_exchange(request(attempt), stream))
    assert (answer.status, bytes(answer.body)) == (503, b"no")
    assert not sock.written
    assert stream.closed


def test_an_interim_answer_beforehand() -> None:
    """It is none; the request is sent, and answered."""
    sock = AnswersWhenAsked([b"HTTP/1.1 100 Continue\r\n\r\n"])
    stream, attempt = fresh(sock)
    assert asyncio.run(_exchange(request(attempt), stream)).status == 204


def test_a_fresh_connection_that_answers() -> None:
    """What comes once the request has been sent is its answer."""
    sock = AnswersWhenAsked()
    stream, attempt = fresh(sock)
    assert asyncio.run(_exchange(request(attempt), stream)).status == 204
    assert sock.written.endswith(b"event")


def test_a_kept_connection_that_speaks_first() -> None:
    """It is not used again."""
    assert not Connection(MockSocket([YES])).alive()
