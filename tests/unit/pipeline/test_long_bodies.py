"""Long bodies leave the event loop to others in between."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from returns.result import Result

from sonda.pipeline.long_bodies import LONG_BYTES, prepare_in_turns
from sonda.pipeline.problems import Problem

Document = Result[dict[str, Any], Problem] | None
LONG = b"{}" + b" " * LONG_BYTES


def test_a_short_body_is_prepared_at_once() -> None:
    """It is not parsed before, and no turn of the loop passes."""
    seen: list[Document] = []

    async def main() -> int:
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1

        asyncio.get_running_loop().call_soon(count)
        await prepare_in_turns(b"{}", lambda *, document: seen.append(document))
        return turns

    assert asyncio.run(main()) == 0
    assert seen == [None]


def test_long_bodies_take_turns() -> None:
    """Each is parsed in one turn and prepared in a later one, and no two are worked in one turn."""
    turn = 0
    worked: list[int] = []

    def prepare(*, document: Document) -> None:
        assert document is not None
        assert document.unwrap() == {}
        worked.append(turn)

    async def main() -> None:
        async def count() -> None:
            nonlocal turn
            while True:
                turn += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await asyncio.gather(*(prepare_in_turns(LONG, prepare) for _ in range(4)))
        counting.cancel()

    asyncio.run(main())
    assert worked[0] > 0
    assert len(set(worked)) == len(worked) == 4
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(worked))
