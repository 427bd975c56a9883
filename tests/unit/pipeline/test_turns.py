"""Long work lets others have their turn."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from sonda.pipeline import turns
from sonda.pipeline.turns import YOUNG_COLLECTIONS, Turns
from tests.support.loop_turns import counted_turns


async def count_pauses(pauses: int) -> int:
    """Return how often another task has had its turn during so many pauses."""
    work = Turns()
    async with counted_turns() as others:
        for _ in range(pauses):
            await work.pause()
    return others.count


@pytest.mark.parametrize(("turn_s", "others"), [(0.0, 5), (3600.0, 0)])
def test_a_pause(monkeypatch: pytest.MonkeyPatch, turn_s: float, others: int) -> None:
    """A long turn ends with a pause, a short one goes on."""
    monkeypatch.setattr(turns, "TURN_S", turn_s)
    assert asyncio.run(count_pauses(5)) == others


@pytest.mark.parametrize("survives", [False, True])
def test_cancelled(monkeypatch: pytest.MonkeyPatch, survives: bool) -> None:
    """Work that survives a cancellation goes on to its end; other work ends."""
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    done: list[int] = []

    async def work() -> None:
        pausing = Turns(survives_cancellation=survives)
        for step in range(3):
            await pausing.pause()
            done.append(step)

    async def main() -> bool:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(main()) is not survives
    assert done == ([0, 1, 2] if survives else [])


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


def test_old_objects_are_left_out_until_the_last_batch_has_ended() -> None:
    """Blocks overlap, as the batches of two requests do; one that fails ends, too."""
    usual = gc.get_threshold()
    with YOUNG_COLLECTIONS.only():
        others_out = gc.get_threshold()
        with contextlib.suppress(ZeroDivisionError), YOUNG_COLLECTIONS.only():
            raise ZeroDivisionError
        assert gc.get_threshold() == others_out
    assert others_out[0] == usual[0]  # more young ones at once would be longer turns
    assert others_out[1] > 1_000_000
    assert gc.get_threshold() == usual
