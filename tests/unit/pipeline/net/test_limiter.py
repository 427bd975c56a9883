"""Places for the events of one destination are counted, waited for in order, and come back."""

from __future__ import annotations

import asyncio

import pytest

from sonda.pipeline.net.limiter import DestinationLimiter
from tests.support.virtual_time import run_virtually


def test_as_many_as_there_are_places() -> None:
    """One destination's events take no place of another's."""
    limiter = DestinationLimiter(2)
    assert [limiter.take("a") for _ in range(3)] == [True, True, False]
    assert limiter.take("b")
    limiter.release("a")
    assert limiter.take("a")


def test_without_a_bound_all_are_let_in() -> None:
    """However many there are; nothing is left of a destination whose events are over."""
    limiter = DestinationLimiter(None)
    assert all(limiter.take("a") for _ in range(1000))
    limiter.release("a", 1000)
    assert not limiter.single


def test_groups_take_no_place_of_single_events() -> None:
    """Neither a group that has every place of its kind nor one that waits refuses a single event."""

    async def main() -> None:
        limiter = DestinationLimiter(2)

        async def enter(count: int) -> bool:
            async with limiter.acquire("a", count, 2000.0) as taken:
                return taken

        async with limiter.acquire("a", 2, 2000.0) as taken:
            assert taken
            waiting = asyncio.create_task(enter(1))
            await asyncio.sleep(0)
            assert [limiter.take("a") for _ in range(3)] == [True, True, False]
            assert not waiting.done()
            async with limiter.acquire("a", 1, None) as at_once:
                assert not at_once
            limiter.release("a", 2)
            async with limiter.acquire("a", 2, None) as at_once:
                assert at_once
                assert not limiter.take("a")
        assert await waiting
        assert not limiter.single
        assert not limiter._grouped

    run_virtually(main())


def test_single_events_hold_up_no_group() -> None:
    """A group has places of its own, however many single events the destination leaves unanswered."""

    async def main() -> None:
        limiter = DestinationLimiter(1)
        assert limiter.take("a")
        async with limiter.acquire("a", 1, 2000.0) as taken:
            assert taken

    run_virtually(main())


def test_who_waits_goes_first() -> None:
    """A place that comes back goes to those who wait, in their order, and to no other group."""

    async def main() -> list[str]:
        limiter, went = DestinationLimiter(2), []

        async def enter(name: str, count: int) -> None:
            async with limiter.acquire("a", count, 2000.0) as taken:
                assert taken
                went.append(name)

        async with limiter.acquire("a", 1, 2000.0):
            waiting = [asyncio.create_task(enter("two", 2)), asyncio.create_task(enter("one", 1))]
            await asyncio.sleep(0)  # there is a place, but the first one needs two
            assert went == []
        await asyncio.gather(*waiting)
        assert not limiter._grouped
        assert not limiter._waiting
        return went

    assert run_virtually(main()) == ["two", "one"]


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "late"])
def test_who_gives_up_holds_up_nobody(is_cancelled: bool) -> None:
    """The place of one that waits no longer is not kept for it."""

    async def main() -> None:
        limiter = DestinationLimiter(1)

        async def enter(until_s: float) -> bool:
            async with limiter.acquire("a", 1, until_s) as taken:
                return taken

        async with limiter.acquire("a", 1, 2000.0):
            first = asyncio.create_task(enter(1001.0))
            second = asyncio.create_task(enter(1100.0))
            await asyncio.sleep(0)
            if is_cancelled:
                first.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await first
            else:
                assert not await first
        assert await second
        assert not limiter._grouped

    run_virtually(main())


def test_many_give_up_in_the_turn_in_which_places_come_free() -> None:
    """Those that were passed over are no bug, and leave nothing behind."""

    async def waits(limiter: DestinationLimiter, until_s: float) -> bool:
        async with limiter.acquire("d", 1, until_s) as taken:
            return taken

    async def main() -> list[bool | BaseException]:
        limiter = DestinationLimiter(1)
        until_s = asyncio.get_running_loop().time()
        async with limiter.acquire("d", 1, until_s):
            waiting = [asyncio.ensure_future(waits(limiter, until_s)) for _ in range(5)]
            await asyncio.sleep(0)
            # Each one's time is up: the first to notice makes the limiter look at the others.
            for one in waiting:
                one.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        async with limiter.acquire("d", 1, until_s) as taken:
            assert taken
        return [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)]

    assert all(outcome is False for outcome in asyncio.run(main()))
