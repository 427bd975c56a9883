"""How many turns of the event loop another task gets while something works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class LoopTurns:
    """The turns so far."""

    count: int = 0


@asynccontextmanager
async def counted_turns() -> AsyncIterator[LoopTurns]:
    """Count the turns of another task until the block ends."""
    turns = LoopTurns()

    async def others() -> None:
        while True:
            turns.count += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    try:
        yield turns
    finally:
        other.cancel()
