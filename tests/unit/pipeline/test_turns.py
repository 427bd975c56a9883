"""When long work lets others have their turn."""

from __future__ import annotations

import asyncio

import pytest

from sonda.pipeline import turns
from sonda.pipeline.turns import Turns


def test_many_are_released_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """To free all at once would keep the event loop for as long as that takes."""
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    first, second = [*range(250)], [*range(30)]
    lengths: list[tuple[int, int]] = []

    async def watch() -> None:
        while True:
            lengths.append((len(first), len(second)))
            await asyncio.sleep(0)

    async def release() -> None:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await Turns().release(first, second)
        watching.cancel()

    asyncio.run(release())
    assert lengths == [(250, 30), (150, 30), (50, 30), (0, 30), (0, 0)]
