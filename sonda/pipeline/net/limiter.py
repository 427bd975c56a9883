"""How many events one destination may have under way, so that one that hangs leaves room for others."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

_Waiter: TypeAlias = tuple[asyncio.Future[None], int]


class DestinationLimiter:
    """The events under way for each destination: *most* of them, or any number."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._under_way: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[_Waiter]] = defaultdict(deque)

    def take(self, destination: str) -> bool:
        """Take a place, if there is one, to `release` afterwards; return whether there was.

        Who waits already goes first.
        """
        if self.most is not None:
            if self._under_way[destination] >= self.most or destination in self._waiting:
                return False
            self._under_way[destination] += 1
        return True

    def release(self, destination: str, count: int = 1) -> None:
        """Return places that `take` or `acquire` has taken; who waits gets them."""
        if self.most is None:
            return
        self._under_way[destination] -= count
        if destination in self._waiting:
            self._admit(destination)
        elif not self._under_way[destination]:
            del self._under_way[destination]

    @asynccontextmanager
    async def acquire(self, destination: str, count: int, until_s: float) -> AsyncIterator[bool]:
        """Wait for *count* places, at most until loop time *until_s*; yield whether they came.

        *count* must not be more than there are places.
        """
        taken = await self._wait(destination, count, until_s)
        try:
            yield taken
        finally:
            if taken:
                self.release(destination, count)

    async def _wait(self, destination: str, count: int, until_s: float) -> bool:
        if self.most is None:
            return True
        if self._has_room(destination, count) and destination not in self._waiting:
            self._under_way[destination] += count
            return True
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[destination].append((admitted, count))
        try:
            async with asyncio.timeout_at(until_s):
                await admitted
        except BaseException as exc:
            if admitted.done() and not admitted.cancelled():
                self.release(destination, count)  # it was admitted in the same turn of the loop
            else:
                admitted.cancel()  # it is passed over: to look for it among thousands takes too long
                self._admit(destination)
            if isinstance(exc, TimeoutError):
                return False
            raise
        return True

    def _has_room(self, destination: str, count: int) -> bool:
        return self.most is None or self._under_way[destination] + count <= self.most

    def _admit(self, destination: str) -> None:
        """Let those in who wait, in their order; forget a destination that has no event left."""
        waiting = self._waiting.get(destination)
        while waiting:
            admitted, count = waiting[0]
            if not admitted.done():
                if not self._has_room(destination, count):
                    break
                self._under_way[destination] += count
                admitted.set_result(None)
            waiting.popleft()
        if not waiting:
            self._waiting.pop(destination, None)
        if not self._under_way[destination]:
            del self._under_way[destination]
