"""Look-ups of names: shared by all who ask for the same name, and bounded in number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

LOOK_UPS: Final = 32
"""Look-ups under way at a time: each takes a thread until the name server answers.

As many again are kept for names that have been found before.
"""
_OF_ONE_NAME: Final = 4  # of those: a name's further look-ups, for other ports, wait with others
_NAMES_REMEMBERED: Final = 1024

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
    """The look-ups under way, at most `LOOK_UPS` of either kind; the others wait for their turn.

    A name that was found before waits for no name that nobody answers for: who asks for many of
    those harms none of whom the names are right.

    A system's resolver cannot be interrupted, so that one that has begun keeps its thread until it
    ends, whoever still waits; one that has not is withdrawn with the last who waits for it.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._under_way: dict[_Key, _LookUp] = {}
        self._turns = asyncio.Semaphore(LOOK_UPS)
        self._turns_of_found = asyncio.Semaphore(LOOK_UPS)
        self._found = {"localhost": 0}  # how many of a name's look-ups have a turn of those

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
        host = key[0]
        if self._found.get(host, _OF_ONE_NAME) >= _OF_ONE_NAME:
            async with self._turns:
                look_up.has_begun = True
                found = await self._resolve(*key)
            self._remember(host)
            return found
        self._found[host] += 1
        try:
            async with self._turns_of_found:
                look_up.has_begun = True
                return await self._resolve(*key)
        finally:
            self._found[host] = self._found.pop(host) - 1  # the last to be forgotten

    def _remember(self, host: str) -> None:
        """Take note that a name was found; where there are too many forget the oldest that is idle."""
        self._found.setdefault(host, 0)
        if len(self._found) > _NAMES_REMEMBERED:
            idle = (name for name, turns in self._found.items() if not turns)
            del self._found[next(idle)]

    def _ended(self, key: _Key, look_up: _LookUp, task: asyncio.Task[Found]) -> None:
        self._forget(key, look_up)
        if not task.cancelled():
            task.exception()  # all who waited may have given up

    def _forget(self, key: _Key, look_up: _LookUp) -> None:
        if self._under_way.get(key) is look_up:
            del self._under_way[key]
