"""Deadlines are instants of the loop's clock, and say the span that led up to them."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from sonda.pipeline.deadline import LONGEST_S, TIMER_RESOLUTION_S, Deadline, Expiry
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

        def expire(now_s: float) -> float:
            came.append((loop.time() - began_s, now_s - loop.time()))
            left[:] = [at_s for at_s in left if at_s > now_s]
            return min(left, default=inf)

        expiry = Expiry(expire)
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
