"""Whether a kept connection is used again, how it is closed, and how far a try on it has got."""

from __future__ import annotations

import asyncio

import pytest

from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net.connection import Connection
from tests.support.mock_stream import MockSocket


def test_a_quiet_connection_is_alive() -> None:
    """Nothing has come, nobody has gone, and what was sent gets through."""
    assert Connection(MockSocket()).alive()
    assert Connection(MockSocket()).alive(peer_may_talk=True)


def test_what_nobody_asked_for_ends_a_connection() -> None:
    """It would be taken for the next answer; where nothing is read, it is thrown away instead."""
    assert not Connection(MockSocket([b"HTTP/1.1 204 No Content\r\n\r\n"])).alive()
    sock = MockSocket([b"hello", b"you"])
    assert Connection(sock).alive(peer_may_talk=True)
    assert sock.incoming == []


@pytest.mark.parametrize("peer_may_talk", [True, False])
def test_a_peer_that_is_gone_ends_a_connection(peer_may_talk: bool) -> None:
    """It is not used once more."""
    sock = MockSocket()
    sock.peer_is_gone = True
    assert not Connection(sock).alive(peer_may_talk=peer_may_talk)


def test_a_stalled_connection_is_not_used_again() -> None:
    """A peer whose packets vanish says nothing, and would get the next event as little."""
    sock = MockSocket()
    sock.stalled = True
    assert not Connection(sock).alive(peer_may_talk=True)


def test_a_close_is_counted_once() -> None:
    """However often it is closed."""
    closed: list[None] = []
    sock = MockSocket()
    stream = Connection(sock, on_close=lambda: closed.append(None))
    asyncio.run(stream.aclose())
    stream.close()
    assert stream.closed
    assert sock.is_closed
    assert len(closed) == 1


def test_an_attempt_counts_its_own_bytes() -> None:
    """Those that other events have sent before it are not its own."""

    async def main() -> None:
        stream = Connection(MockSocket())
        await stream.send(b"before")
        attempt = Attempt()
        assert (attempt.reached, attempt.connected, attempt.sent_bytes) == (False, False, 0)
        attempt.attach(stream.socket, reused=stream.reused)
        assert (attempt.reached, attempt.connected, attempt.has_left) == (True, True, False)
        await stream.send(b"mine")
        assert attempt.has_left
        assert attempt.sent_bytes == len(b"mine")
        assert not attempt.reused
        attempt.attach(stream.socket, reused=True)
        assert attempt.reused

    asyncio.run(main())
