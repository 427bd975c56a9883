"""Look-ups of names: shared by all who ask for the same name, and bounded in number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

LOOK_UPS: Final = 32
"""Look-ups under way at a time: each takes a thread until the name server answers."""

Found: TypeAlias = "Sequence[AddrInfoType]"
Resolve: TypeAlias = Callable[[str, int, socket.SocketKind], Awaitable[Found]]
_Key: TypeAlias = tuple[str, int, socket.SocketKind]


class _LookUp:
    """One look-up, and how many wait for it."""

    __slots__ = ("has_begun", "task", "waiters")

    task: asyncio.Task[Found]

    def __init__(self) -> None:
        self.has_begun = False
        self.waiters = 0


class LookUps:
    """The look-ups under way, at most `LOOK_UPS`; the others wait for their turn.

    A system's resolver cannot be interrupted, so that one that has begun keeps its thread until it
    ends, whoever still waits; one that has not is withdrawn with the last who waits for it.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._under_way: dict[_Key, _LookUp] = {}
        self._turns = asyncio.Semaphore(LOOK_UPS)

    async def find(self, host: str, port: int, kind: socket.SocketKind) -> Found:
        """Look a host up, or join a look-up of it; raise `OSError` with the resolver's reason."""
        key = (host, port, kind)
        look_up = self._under_way.get(key) or self._start(key)
        look_up.waiters += 1
        try:
            return await asyncio.shield(look_up.task)
        finally:
            look_up.waiters -= 1
            if not look_up.waiters and not look_up.has_begun:
                self._forget(key, look_up)
                look_up.task.cancel()

    async def aclose(self) -> None:
        """Abandon what is under way."""
        tasks = [look_up.task for look_up in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: _Key) -> _LookUp:
        look_up = self._under_way[key] = _LookUp()
        look_up.task = asyncio.get_running_loop().create_task(self._run(key, look_up))
        look_up.task.add_done_callback(lambda task: self._ended(key, look_up, task))
        return look_up

    async def _run(self, key: _Key, look_up: _LookUp) -> Found:
        async with self._turns:
            look_up.has_begun = True
            return await self._resolve(*key)

    def _ended(self, key: _Key, look_up: _LookUp, task: asyncio.Task[Found]) -> None:
        self._forget(key, look_up)
        if not task.cancelled():
            task.exception()  # all who waited may have given up

    def _forget(self, key: _Key, look_up: _LookUp) -> None:
        if self._under_way.get(key) is look_up:
            del self._under_way[key]
