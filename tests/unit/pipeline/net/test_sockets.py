"""Sockets: what is read, by whom, and what the event loop is asked for."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import pytest

from sonda.pipeline.net.sockets import Socket, open_socket
from tests.support.destinations import NewLoop, both_loops
from tests.support.ports import free_ports


def run(work: Callable[[Socket, socket.socket], Awaitable[None]], loop: NewLoop) -> None:
    """Do what needs a connection: our socket, and the peer's."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = Socket(ours)
        with theirs:
            await work(connection, theirs)
        connection.close()
        assert ours.fileno() == -1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@both_loops
def test_the_loop_watches_for_one_answer_after_the_other(
    loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked to once for a connection, not for each answer."""

    async def work(ours: Socket, theirs: socket.socket) -> None:
        asked: list[object] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(ours, "_unwatch", partial(asked.append, ours))
        for number in range(5):
            arriving = asyncio.ensure_future(ours.receive())
            await asyncio.sleep(0)
            theirs.send(b"%d" % number)
            assert await arriving == b"%d" % number
        assert ours._watching is loop
        assert asked == []
        monkeypatch.undo()

    run(work, loop)


@both_loops
def test_unasked_input_is_left_for_whoever_looks_next(loop: NewLoop) -> None:
    """It ends a kept connection, so it must be seen; and it must not keep the loop busy."""

    async def work(ours: Socket, theirs: socket.socket) -> None:
        arriving = asyncio.ensure_future(ours.receive())
        await asyncio.sleep(0)
        theirs.send(b"asked")
        assert await arriving == b"asked"
        theirs.send(b"unasked")
        while ours._watching is not None:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0)
        assert ours.has_input()
        assert await ours.receive() == b"unasked"

    run(work, loop)


@both_loops
def test_the_end_of_the_stream_is_no_bytes(loop: NewLoop) -> None:
    """However often it is asked for."""

    async def work(ours: Socket, theirs: socket.socket) -> None:
        arriving = asyncio.ensure_future(ours.receive())
        await asyncio.sleep(0)
        theirs.close()
        assert await arriving == b""
        assert await ours.receive() == b""

    run(work, loop)


@both_loops
def test_a_wait_that_was_given_up_takes_nothing(loop: NewLoop) -> None:
    """What comes after it is for the next who asks."""

    async def work(ours: Socket, theirs: socket.socket) -> None:
        arriving = asyncio.ensure_future(ours.receive())
        await asyncio.sleep(0)
        arriving.cancel()
        await asyncio.gather(arriving, return_exceptions=True)
        theirs.send(b"later")
        assert await ours.receive() == b"later"

    run(work, loop)


class Broken:
    """Stands for a socket that has some bytes, and behind them a reset."""

    def __init__(self) -> None:
        self._left: list[bytes | OSError] = [
            BlockingIOError(),
            b"all that came",
            ConnectionResetError(104, "reset"),
        ]

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        """Return or raise the next of what there is; after a reset there is the end."""
        found = self._left.pop(0) if self._left else b""
        if isinstance(found, OSError):
            raise found
        return found

    def fileno(self) -> int:
        """Return no descriptor: it is closed."""
        return -1


def test_a_reset_behind_an_answer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer counts first; then it is raised, though nobody watches the connection any more."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        watched: list[object] = []
        monkeypatch.setattr(loop, "add_reader", lambda sock, *_: watched.append(sock))
        monkeypatch.setattr(loop, "remove_reader", watched.remove)
        ours = Socket(cast("socket.socket", Broken()))
        arriving = asyncio.ensure_future(ours.receive())
        await asyncio.sleep(0)
        assert len(watched) == 1
        ours._on_input()
        assert watched == []
        assert await arriving == b"all that came"
        with pytest.raises(ConnectionResetError):
            await ours.receive()

    asyncio.run(main())


@both_loops
def test_a_refused_connection_leaves_no_circle(loop: NewLoop) -> None:
    """Ten thousand would be a million objects, for the garbage collector alone to free."""
    (port,) = free_ports(1)
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await open_socket([address])

    def errors() -> int:
        return sum(isinstance(one, ConnectionRefusedError) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            before = errors()
            for _ in range(3):
                runner.run(main())
            assert errors() == before
    finally:
        gc.enable()
