"""Deadlines are instants of the loop's clock, and say the span that led up to them."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from math import inf
from weakref import ref

import pytest

from sonda.pipeline.deadline import (
    TIMER_RESOLUTION_S,
    Deadline,
    Expiry,
    TimeLimit,
    Timeouts,
)
from sonda.pipeline.values.durations import LONGEST_S
from tests.support.virtual_time import run_virtually


def test_what_is_left_runs_out() -> None:
    """It is negative afterwards."""

    async def main() -> list[float]:
        deadline = Deadline.within(10)
        left = [deadline.left_s()]
        await asyncio.sleep(4)
        left.append(deadline.left_s())
        await asyncio.sleep(7)
        return [*left, deadline.left_s()]

    assert run_virtually(main()) == pytest.approx([10, 6, -1])


@pytest.mark.parametrize(
    ("span_s", "ahead_s", "expected_s"),
    [(10, None, 10), (10, 3, 3), (10, 30, 10), (10, -5, 0), (1e12, None, LONGEST_S)],
)
def test_the_sooner_end_counts(span_s: float, ahead_s: float | None, expected_s: float) -> None:
    """That of the span, or the one that somebody else has set; neither is beyond a month."""

    async def main() -> Deadline:
        now_s = asyncio.get_running_loop().time()
        return Deadline.within(span_s, None if ahead_s is None else now_s + ahead_s)

    deadline = run_virtually(main())
    assert deadline.span_s == pytest.approx(expected_s)
    assert deadline.at_s == pytest.approx(1000 + expected_s)


@pytest.mark.parametrize(
    ("span_s", "text"),
    [
        (10, "10s"),
        (0.25, "0.25s"),
        (1.23456, "1.235s"),
        (0, "0s"),
        (0.001, "0.001s"),
        (0.00025, "0.00025s"),
        (1e-9, "0.000000001s"),
    ],
)
def test_it_is_shown_as_its_span(span_s: float, text: str) -> None:
    """As users write durations; a short one is not rounded to nothing."""
    assert str(Deadline(0, span_s)) == text


def test_one_timer_for_many() -> None:
    """It comes for the first, and then for the next; where nobody is left it does not come."""

    async def main() -> list[tuple[float, float]]:
        loop = asyncio.get_running_loop()
        began_s, left, came = loop.time(), [1005.0, 1002.0, 1002.0, 1009.0], []

        class Owner:
            def expire(self, now_s: float) -> float:
                came.append((loop.time() - began_s, now_s - loop.time()))
                left[:] = [at_s for at_s in left if at_s > now_s]
                return min(left, default=inf)

        owner = Owner()
        expiry = Expiry(owner, Owner.expire)
        for at_s in left:
            expiry.until(at_s)
        assert expiry.at_s == 1002.0
        await asyncio.sleep(7)
        expiry.cancel()
        assert expiry.at_s == inf
        await asyncio.sleep(7)
        expiry.until(inf)
        return came

    came = run_virtually(main())
    assert [at_s for at_s, _ in came] == pytest.approx([2, 5])
    assert all(ahead_s == pytest.approx(TIMER_RESOLUTION_S) for _, ahead_s in came)


def test_a_timer_keeps_neither_its_owner_nor_what_set_it() -> None:
    """It is set for seconds; an owner that is gone by then is not asked, and was gone at once."""
    gc.disable()
    try:
        run_virtually(_let_go_of_an_owner())
    finally:
        gc.enable()


async def _let_go_of_an_owner() -> None:
    asked: list[float] = []

    class Owner:
        def __init__(self) -> None:
            self.expiry = Expiry(self, Owner.expire)

        def expire(self, now_s: float) -> float:
            asked.append(now_s)
            return inf

    class Event:
        """Stands for what the context of a task has."""

    event, owner = Event(), Owner()
    under_way: ContextVar[Event | None] = ContextVar("under_way", default=None)
    under_way.set(event)
    known = ref(event), ref(owner)
    owner.expiry.until(asyncio.get_running_loop().time() + 5)
    under_way.set(None)
    del event, owner
    assert [one() for one in known] == [None, None]
    await asyncio.sleep(7)
    assert asked == []


def test_time_limits_share_a_timer() -> None:
    """Each ends its own block with a `TimeoutError`; a block that ends in time is left alone."""

    async def main() -> list[tuple[str, float]]:
        loop, ended = asyncio.get_running_loop(), list[tuple[str, float]]()
        timeouts = Timeouts()

        async def wait(span_s: float, limit_s: float) -> None:
            try:
                with TimeLimit(timeouts, loop.time() + limit_s):
                    await asyncio.sleep(span_s)
            except TimeoutError:
                ended.append(("late", loop.time() - 1000))
            else:
                ended.append(("done", loop.time() - 1000))

        await asyncio.gather(wait(1, 5), wait(9, 3), wait(9, 2), wait(9, 2))
        timeouts.cancel()
        return ended

    ended = run_virtually(main())
    assert [what for what, _ in ended] == ["done", "late", "late", "late"]
    assert [at_s for _, at_s in ended] == pytest.approx([1, 2, 2, 3], abs=2 * TIMER_RESOLUTION_S)


def test_a_cancellation_is_no_timeout() -> None:
    """Whoever cancels the task within a block sees it cancelled, at the limit, too."""

    async def main(*, is_late: bool) -> bool:
        loop, timeouts = asyncio.get_running_loop(), Timeouts()

        async def wait() -> None:
            with TimeLimit(timeouts, loop.time() + 2):
                await asyncio.sleep(9)

        task = asyncio.create_task(wait())
        await asyncio.sleep(1)
        if is_late:
            loop.call_at(1002, task.cancel)
        else:
            task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtually(main(is_late=False))
    assert run_virtually(main(is_late=True))


def test_limits_within_limits() -> None:
    """The inner one ends alone; at the same instant the outer one tells."""

    async def main(inner_s: float, outer_s: float) -> list[str]:
        loop, timeouts, told = asyncio.get_running_loop(), Timeouts(), []
        try:
            with TimeLimit(timeouts, loop.time() + outer_s):
                try:
                    with TimeLimit(timeouts, loop.time() + inner_s):
                        await asyncio.sleep(9)
                except TimeoutError:
                    told.append("inner")
        except TimeoutError:
            told.append("outer")
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        return told

    assert run_virtually(main(1, 2)) == ["inner"]
    assert run_virtually(main(2, 2)) == ["outer"]
    assert run_virtually(main(0, 2)) == ["inner"]
