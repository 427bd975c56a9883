"""How many events an entry hands over between two turns of the event loop, and how it waits."""

from __future__ import annotations

import asyncio
from typing import Final

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
