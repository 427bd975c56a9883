"""What a key is left as, whatever comes of the work and of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import pytest

from sonda.http_answers import Answer
from sonda.rejections import ShuttingDown
from sonda.resources.errors import RequestRejected
from sonda.resources.idempotency import (
    EarlierRequest,
    Idempotent,
    OtherRequest,
    UnderWay,
    Unstorable,
    Worked,
)
from sonda.server.idempotency_store import IdempotencyStore

Work = Callable[[int, EarlierRequest | None], Awaitable[Worked]]

OK = Answer(200, b"{}\n")
UNREACHABLE = Worked(Answer(502, b"{}\n"), (True,))
BUG = Worked(Answer(500, b"{}\n"), (False,))
BUSY = Worked(Answer(503, b"{}\n"), (True,))


async def refuse(why: UnderWay | OtherRequest | Unstorable) -> Answer:
    return Answer(409, type(why).__name__.encode())


class Caller:
    """Sends requests with one key, whose work ends as it is told."""

    def __init__(self, folder: Path) -> None:
        self.store = IdempotencyStore(folder / "sonda.sqlite3", ttl_s=60.0, most_keys=100)
        self.worked: list[tuple[int, EarlierRequest | None]] = []
        self.once = Idempotent(self.store, "me", "k", b"f")
        self.crashed = BUG

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.store.close()

    async def ask(self, time_ns: int, outcome: Worked | BaseException) -> Answer:
        async def work(time_ns: int, kept: EarlierRequest | None) -> Worked:
            self.worked.append((time_ns, kept))
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return await self.once.answer(time_ns, work, refuse, lambda _: self.crashed)


def test_a_busy_moment_in_between_loses_neither_the_verdict_nor_the_time(tmp_path: Path) -> None:
    """Worked again and turned away, or cut off: the next one is worked again with the first one's time."""

    async def main() -> list[int]:
        async with Caller(tmp_path) as caller:
            await caller.ask(1, UNREACHABLE)
            assert (await caller.ask(2, BUSY)).status == 503
            with pytest.raises(RequestRejected):
                await caller.ask(3, RequestRejected(ShuttingDown()))
            assert await caller.ask(4, Worked(OK, (False,))) == OK
            again = await caller.ask(5, BUSY)
            assert (again.status, dict(again.headers)) == (200, {"Idempotent-Replayed": "true"})
            return [time_ns for time_ns, _ in caller.worked]

    assert asyncio.run(main()) == [1, 1, 1, 1]


def test_a_request_that_was_turned_away_binds_nothing(tmp_path: Path) -> None:
    """The first one was answered with 503, or cut off before anything was sent."""

    async def main() -> list[tuple[int, EarlierRequest | None]]:
        async with Caller(tmp_path) as caller:
            await caller.ask(1, BUSY)
            with pytest.raises(RequestRejected):
                await caller.ask(2, RequestRejected(ShuttingDown()))
            await caller.ask(3, Worked(OK, (False,)))
            return caller.worked

    assert asyncio.run(main()) == [(1, None), (2, None), (3, None)]


@pytest.mark.parametrize("is_safe", [True, False])
def test_a_bug_is_an_answer_like_others(tmp_path: Path, is_safe: bool) -> None:
    """Something may have been sent: its 500 is repeated, or the event worked again with the first time."""

    async def main() -> tuple[Answer, list[int]]:
        async with Caller(tmp_path) as caller:
            caller.crashed = BUG._replace(resend_safe=(is_safe,))
            with pytest.raises(ZeroDivisionError):
                await caller.ask(1, ZeroDivisionError())
            again = await caller.ask(2, Worked(OK, (False,)))
            return again, [time_ns for time_ns, _ in caller.worked]

    again, times_ns = asyncio.run(main())
    if is_safe:
        assert (again, times_ns) == (OK, [1, 1])
    else:
        assert (again.status, again.body, times_ns) == (500, b"{}\n", [1])
        assert dict(again.headers) == {"Idempotent-Replayed": "true"}


def test_a_shutdown_while_the_key_is_taken_sends_nothing_and_binds_nothing(tmp_path: Path) -> None:
    """The answer is 503; the next server works it as the first."""

    async def main() -> list[tuple[int, EarlierRequest | None]]:
        async with Caller(tmp_path) as caller:
            asking = asyncio.create_task(caller.ask(1, Worked(OK, (False,))))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(RequestRejected) as raised:
                await asking
            assert isinstance(raised.value.rejection, ShuttingDown)
            await caller.ask(2, Worked(OK, (False,)))
            return caller.worked

    assert asyncio.run(main()) == [(2, None)]


def test_a_shutdown_while_the_verdict_is_kept_leaves_it_kept(tmp_path: Path) -> None:
    """The event was acknowledged: the answer is given, and kept."""

    async def main() -> tuple[Answer, Answer]:
        async with Caller(tmp_path) as caller:
            asking: asyncio.Task[Answer]

            async def work(_time_ns: int, _kept: EarlierRequest | None) -> Worked:
                asyncio.get_running_loop().call_soon(asking.cancel)
                return Worked(OK, (False,))

            asking = asyncio.create_task(caller.once.answer(1, work, refuse, lambda _: BUG))
            return await asking, await caller.ask(2, BUSY)

    first, again = asyncio.run(main())
    assert first == OK
    assert (again.status, dict(again.headers)) == (200, {"Idempotent-Replayed": "true"})
