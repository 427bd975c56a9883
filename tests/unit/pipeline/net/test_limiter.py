"""Places of a destination: who waits for them, and who gives up."""

from __future__ import annotations

import asyncio

from sonda.pipeline.net.limiter import DestinationLimiter


def test_many_give_up_in_the_turn_in_which_places_come_free() -> None:
    """Those that were passed over are no bug, and leave nothing behind."""

    async def waits(limiter: DestinationLimiter, until_s: float) -> bool:
        async with limiter.acquire("d", 1, until_s) as taken:
            return taken

    async def main() -> list[bool | BaseException]:
        limiter = DestinationLimiter(1)
        assert limiter.take("d")
        until_s = asyncio.get_running_loop().time()
        waiting = [asyncio.ensure_future(waits(limiter, until_s)) for _ in range(5)]
        await asyncio.sleep(0)
        # Each one's time is up: the first to notice makes the limiter look at the others.
        for one in waiting:
            one.cancel()
        limiter.release("d")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert limiter.take("d")
        return [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)]

    assert all(outcome is False for outcome in asyncio.run(main()))
