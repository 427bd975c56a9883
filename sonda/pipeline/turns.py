"""Long work in pieces, so that other requests have their turn of the event loop."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Final

TURN_S: Final = 0.003
_RELEASED_AT_ONCE: Final = 100


class Turns:
    """When the event loop was last let go; `pause` lets it go where that is too long ago."""

    def __init__(self, *, survives_cancellation: bool = False) -> None:
        self._since_s = perf_counter()
        self._survives_cancellation = survives_cancellation
        self._hurries = False

    async def pause(self) -> None:
        """Let others have their turn, if this one has been long.

        Raise `CancelledError`, unless the work survives it: then it goes on without a pause.
        """
        if self._hurries or perf_counter() - self._since_s < TURN_S:
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
                await self.pause()
