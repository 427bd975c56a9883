"""How many events one destination may have under way, so that one that hangs leaves room for others."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

_Waiter: TypeAlias = tuple[asyncio.Future[None], int]


class DestinationLimiter:
    """The events under way for each destination: *most* of each of two kinds, or any number.

    Single events, and groups that do not wait, are refused where there is no place; other groups
    wait, and their events are counted apart: they take no place of a single event's. *single* has
    the number of single events by destination.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.single: dict[str, int] = {}
        self._grouped: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[_Waiter]] = defaultdict(deque)

    def take(self, destination: str, count: int = 1) -> bool:
        """Take places of single events, to `release` afterwards; return whether there were any.

        `Pipeline._send` writes this out for its one event.
        """
        taken = self.single.get(destination, 0) + count
        if self.most is not None and taken > self.most:
            return False
        self.single[destination] = taken
        return True

    def release(self, destination: str, count: int = 1) -> None:
        """Return the places that `take` has taken."""
        self.single[destination] -= count
        if not self.single[destination]:
            del self.single[destination]

    @asynccontextmanager
    async def acquire(
        self, destination: str, count: int, until_s: float | None
    ) -> AsyncIterator[bool]:
        """Wait for *count* places of a group, at most until loop time *until_s*; yield whether they came.

        With `None` they are places of single events, which come at once or not at all. *count* must
        not be more than there are places; who waits gets them in order.
        """
        if until_s is None:
            taken = self.take(destination, count)
            release: Callable[[str, int], None] = self.release
        else:
            taken = await self._wait(destination, count, until_s)
            release = self._give_back
        try:
            yield taken
        finally:
            if taken:
                release(destination, count)

    async def _wait(self, destination: str, count: int, until_s: float) -> bool:
        if self.most is None:
            return True
        if self._has_room(destination, count) and destination not in self._waiting:
            self._grouped[destination] += count
            return True
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[destination].append((admitted, count))
        try:
            async with asyncio.timeout_at(until_s):
                await admitted
        except BaseException as exc:
            if admitted.done() and not admitted.cancelled():
                self._give_back(destination, count)  # it was admitted in the same turn of the loop
            else:
                admitted.cancel()  # it is passed over: to look for it among thousands takes too long
                self._admit(destination)
            if isinstance(exc, TimeoutError):
                return False
            raise
        return True

    def _give_back(self, destination: str, count: int) -> None:
        """Return the places of a group; who waits gets them."""
        if self.most is not None:
            self._grouped[destination] -= count
            self._admit(destination)

    def _has_room(self, destination: str, count: int) -> bool:
        return self.most is None or self._grouped[destination] + count <= self.most

    def _admit(self, destination: str) -> None:
        """Let those in who wait, in their order; forget a destination that has no event left."""
        waiting = self._waiting.get(destination)
        while waiting:
            admitted, count = waiting[0]
            if not admitted.done():
                if not self._has_room(destination, count):
                    break
                self._grouped[destination] += count
                admitted.set_result(None)
            waiting.popleft()
        if not waiting:
            self._waiting.pop(destination, None)
        if not self._grouped[destination]:
            del self._grouped[destination]
