"""Long work in pieces, so that other requests have their turn of the event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

TURN_S: Final = 0.003
LIGHT: Final = 32
"""Steps of some microseconds each, after so many of which it is soon enough to look at the clock."""
_RELEASED_AT_ONCE: Final = 100
_NEVER: Final = 1 << 30  # collections of young objects before older ones are looked at, too


class Turns:
    """When the event loop was last let go; `pause` lets it go where that is too long ago."""

    def __init__(self, *, survives_cancellation: bool = False) -> None:
        self._since_s = perf_counter()
        self._survives_cancellation = survives_cancellation
        self._hurries = False

    @property
    def is_over(self) -> bool:
        """Return whether it is time for a `pause`; to ask costs a third of one that is not due."""
        return perf_counter() - self._since_s >= TURN_S and not self._hurries

    async def pause(self) -> None:
        """Let others have their turn, if this one has been long.

        Raise `CancelledError`, unless the work survives it: then it goes on without a pause.
        """
        if not self.is_over:
            return
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._survives_cancellation or task is None:
                raise
            task.uncancel()
            self._hurries = True
        self._since_s = perf_counter()

    async def release(self, *many: list[Any]) -> None:
        """Empty the lists piece by piece: to free ten thousand events at once takes 20 ms."""
        for items in many:
            while items:
                del items[-_RELEASED_AT_ONCE:]
                if self.is_over:
                    await self.pause()


class YoungCollections:
    """How many have asked that the garbage collector look at young objects alone, and its thresholds.

    All that a batch of ten thousand events holds is alive until its end: to look at that again and
    again costs hundreds of milliseconds at a time.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._usual: tuple[int, int, int] = (0, 0, 0)

    @contextmanager
    def only(self) -> Iterator[None]:
        """Leave older objects out until the end of the block, and of all others like it."""
        if not self._asked:
            self._usual = gc.get_threshold()
            gc.set_threshold(self._usual[0], _NEVER, self._usual[2])
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            if not self._asked:
                gc.set_threshold(*self._usual)


YOUNG_COLLECTIONS: Final = YoungCollections()
"""Those of this process: there is one collector."""
