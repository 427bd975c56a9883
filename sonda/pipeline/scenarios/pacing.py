"""How many events an entry hands over between two turns of the event loop, and how it waits."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Final

WAKE_S: Final = 0.01
"""The least time between two wake-ups."""

_CHUNK_S: Final = 0.005  # of work between two turns of the event loop
_LARGEST_CHUNK: Final = 1000
_FIRST_CHUNK: Final = 32


class ChunkSize:
    """The number of events to make at once, adapted to the time that they take."""

    def __init__(self, window: int) -> None:
        self._most = max(1, min(_LARGEST_CHUNK, window // 2))  # one on its way, and one to come
        self.events = min(_FIRST_CHUNK, self._most)

    def adapt(self, took_s: float, events: int) -> None:
        """Adapt the size after so many *events* took *took_s*.

        The next size fits where the time is proportional. Where series share their labels a larger
        chunk takes hardly longer, so the size also grows in small steps up to the limit.
        """
        if took_s > _CHUNK_S:
            self.events = max(1, events // 2)
        elif events == self.events and 1.25 * took_s < _CHUNK_S:
            step = events if 2 * took_s < _CHUNK_S else events // 4
            self.events = min(events + step, self._most)


class Pacer:
    """What entries share: who makes events, one chunk at a time, and when they wake up.

    They wake up together: at the time that one asks for, or up to 10 ms later, where another wake-up
    is then, or was less than 10 ms before. So a hundred slow entries take the processor no oftener
    than a fast one, and their events share pushes.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._times_s: list[float] = []  # ascending; `_waiting` has the same
        self._waiting: dict[float, set[asyncio.Event]] = {}
        self._last_s = float("-inf")

    async def sleep_until(
        self, time_s: float, event: asyncio.Event, stopped: asyncio.Event
    ) -> None:
        """Wait until loop time *time_s* or *event* is set; only a turn of the loop once *stopped*."""
        event.clear()
        if stopped.is_set():
            await asyncio.sleep(0)
            return
        waiting = self._wake_up_at(time_s)
        waiting.add(event)
        try:
            await event.wait()
        finally:
            waiting.discard(event)

    def _wake_up_at(self, time_s: float) -> set[asyncio.Event]:
        """Return those who wait for the wake-up at *time_s*, or soon after."""
        loop = asyncio.get_running_loop()
        time_s = max(time_s, loop.time())
        place = bisect_left(self._times_s, time_s)
        after_s = self._times_s[place] if place < len(self._times_s) else float("inf")
        if after_s > time_s + WAKE_S:
            before_s = self._times_s[place - 1] if place else self._last_s
            after_s = max(time_s, before_s + WAKE_S)
            self._times_s.insert(place, after_s)
            self._waiting[after_s] = set()
            loop.call_at(after_s, self._wake_up, after_s)
        return self._waiting[after_s]

    def _wake_up(self, time_s: float) -> None:
        self._times_s.remove(time_s)
        self._last_s = time_s
        for event in self._waiting.pop(time_s):
            event.set()


async def sleep_or_wake(span_s: float, event: asyncio.Event, stopped: asyncio.Event) -> None:
    """Wait until *span_s* has passed or *event* is set; only a turn of the loop once *stopped*."""
    if event is not stopped:
        event.clear()
    if stopped.is_set() or span_s <= 0:
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(span_s):
            await event.wait()
    except TimeoutError:
        pass
