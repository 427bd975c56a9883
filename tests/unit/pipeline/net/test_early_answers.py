"""What a destination says before it was asked is no answer to the event."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx
import pytest

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.net.connection import Attempt, Connection
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


@pytest.mark.parametrize(
    "said", [YES, b"H", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"SSH-2.0-x\r\n"]
)
def test_a_fresh_connection_that_speaks_first(said: bytes) -> None:
    """Nothing is sent there: neither a yes nor a no can be about the event."""
    sock, attempt = MockSocket([said]), Attempt()
    stream = Connection(sock)
    attempt.attach(stream)
    with pytest.raises(BadAnswer, match="it answered before it was asked"):
        asyncio.run(_exchange(request(attempt), stream))
    assert not sock.written
    assert not attempt.left


def test_a_fresh_connection_that_answers() -> None:
    """What comes once the request has been sent is its answer."""
    sock, attempt = AnswersWhenAsked(), Attempt()
    stream = Connection(sock)
    attempt.attach(stream)
    assert asyncio.run(_exchange(request(attempt), stream)).status == 204
    assert sock.written.endswith(b"event")


def test_a_kept_connection_that_speaks_first() -> None:
    """It is not used again."""
    assert not Connection(MockSocket([YES])).alive()
