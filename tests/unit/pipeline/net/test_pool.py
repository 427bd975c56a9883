"""Connections are kept for those who share a key, counted, judged before reuse, and given up in time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net import pool as pools
from sonda.pipeline.net.connection import Connection
from sonda.pipeline.net.pool import HANG_UP_S, IDLE_S, ConnectionKey, ConnectionPool, HangUps
from sonda.pipeline.net.resolve import Resolver
from sonda.pipeline.values.addresses import Address
from tests.support.mock_stream import MockSocket
from tests.support.virtual_time import run_virtually

HERE = ConnectionKey("tcp", Address("192.0.2.1", 514))
THERE = ConnectionKey("tcp", Address("192.0.2.2", 514))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[MockSocket]:
    """Connect to memory; return the sockets in the order in which they were made."""
    sockets: list[MockSocket] = []

    async def connect(_addresses: Sequence[object]) -> MockSocket:
        sockets.append(MockSocket())
        return sockets[-1]

    async def find(self: Resolver, *_asked: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 514))]

    monkeypatch.setattr(pools, "connect_tcp", connect)
    monkeypatch.setattr(Resolver, "find", find)
    return sockets


async def send(pool: ConnectionPool, key: ConnectionKey = HERE, data: bytes = b"x") -> Attempt:
    attempt = Attempt()
    await pool.use(key, lambda stream: stream.send(data), attempt)
    return attempt


def test_a_connection_is_kept_for_its_key(made: list[MockSocket]) -> None:
    """The next event of the same key goes on it, another one's does not."""

    async def main() -> None:
        pool = ConnectionPool(Resolver(None))
        assert not (await send(pool)).reused
        assert (await send(pool)).reused
        assert not (await send(pool, THERE)).reused
        assert [bytes(sock.written) for sock in made] == [b"xx", b"x"]
        await pool.aclose()
        assert all(sock.is_closed for sock in made)

    run_virtually(main())


def test_an_idle_connection_is_closed(made: list[MockSocket]) -> None:
    """After `IDLE_S`, or sooner where the peer says that it keeps it for less; nothing is left."""

    async def main() -> None:
        pool = ConnectionPool(Resolver(None))
        await send(pool)
        await asyncio.sleep(IDLE_S - 0.1)
        assert not made[0].is_closed
        await asyncio.sleep(0.2)
        assert made[0].is_closed
        assert not pool._destinations

        async def soon(stream: Connection) -> None:
            stream.idle_s = 1.0

        await pool.use(HERE, soon, Attempt())
        await asyncio.sleep(1.1)
        assert made[1].is_closed

    run_virtually(main())


def test_a_kept_connection_that_breaks_unused_is_replaced(made: list[MockSocket]) -> None:
    """Nothing has left on it, so that the event goes on a fresh one, once."""

    async def main() -> None:
        pool = ConnectionPool(Resolver(None))
        await send(pool)
        made[0].ends_after = len(made[0].written)
        attempt = await send(pool, data=b"second")
        assert not attempt.reused
        assert made[0].is_closed
        assert made[1].written == b"second"
        await pool.aclose()

    run_virtually(main())


def test_one_that_breaks_in_the_middle_is_not(made: list[MockSocket]) -> None:
    """Some bytes have left: what has become of the event is unknown."""

    async def main() -> None:
        pool = ConnectionPool(Resolver(None))
        await send(pool)
        made[0].ends_after = len(made[0].written) + 3
        attempt = Attempt()
        with pytest.raises(ConnectionResetError):
            await pool.use(HERE, lambda stream: stream.send(b"second"), attempt)
        assert attempt.has_left
        assert len(made) == 1
        assert made[0].is_closed
        await pool.aclose()

    run_virtually(main())


def test_after_a_hang_up_connections_are_not_kept(made: list[MockSocket]) -> None:
    """Between a peer's close and the moment it is seen, an event would be written to nobody."""

    async def main() -> None:
        pool = ConnectionPool(Resolver(None))
        await send(pool)
        made[0].peer_is_gone = True
        await send(pool)
        await send(pool)
        assert len(made) == 3
        await asyncio.sleep(HANG_UP_S)
        await send(pool)
        assert (await send(pool)).reused
        await pool.aclose()

    run_virtually(main())


def test_connections_in_use_are_bounded(
    made: list[MockSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event waits for a place, which comes back however the one before it ends."""
    monkeypatch.setattr(pools, "CONNECTIONS_PER_DESTINATION", 1)

    async def main() -> None:
        pool = ConnectionPool(Resolver(None))
        over = asyncio.Event()

        async def hang(_stream: Connection) -> None:
            await over.wait()

        hanging = asyncio.create_task(pool.use(HERE, hang, Attempt()))
        await asyncio.sleep(1)
        waiting = asyncio.create_task(send(pool))
        await asyncio.sleep(1)
        assert not waiting.done()
        hanging.cancel()
        await waiting
        assert len(made) == 2
        assert made[0].is_closed
        await pool.aclose()

    run_virtually(main())


def test_hang_ups_are_remembered_for_a_while() -> None:
    """Of too many the oldest is forgotten."""

    async def main() -> None:
        hang_ups = HangUps()
        hang_ups.note("a")
        assert hang_ups.is_recent("a")
        assert not hang_ups.is_recent("b")
        await asyncio.sleep(HANG_UP_S)
        assert not hang_ups.is_recent("a")
        for number in range(2000):
            hang_ups.note(number)
        assert not hang_ups.is_recent(0)
        assert hang_ups.is_recent(1999)
        assert len(hang_ups.since_s) == 1024

    run_virtually(main())
