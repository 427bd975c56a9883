"""Chunks follow the time that events take; a wait ends with its time, its event or the stop."""

from __future__ import annotations

import asyncio

import pytest

from sonda.pipeline.scenarios.pacing import ChunkSize, sleep_or_wake
from tests.support.virtual_time import run_virtually


def test_quick_events_make_larger_chunks() -> None:
    """Up to 1,000, or to half of the window; a chunk that was not full says nothing."""
    size = ChunkSize(window=2000)
    sizes = []
    for _ in range(6):
        size.adapt(0.0001, size.events)
        sizes.append(size.events)
    assert sizes == [64, 128, 256, 512, 1000, 1000]
    narrow = ChunkSize(window=80)
    narrow.adapt(0.0001, narrow.events - 1)
    assert narrow.events == 32
    narrow.adapt(0.0001, narrow.events)
    assert narrow.events == 40
    assert [ChunkSize(window=window).events for window in (1, 3, 10)] == [1, 1, 5]


def test_a_larger_chunk_that_takes_no_longer() -> None:
    """It is come to in small steps, none of which could have taken more than 5 ms."""
    size = ChunkSize(window=2000)
    size.adapt(0.0001, 32)
    for expected in (80, 100, 125):
        size.adapt(0.0039, size.events)
        assert size.events == expected
    size.adapt(0.0041, 125)
    assert size.events == 125


def test_slow_events_make_smaller_ones() -> None:
    """Never less than one."""
    size = ChunkSize(window=2000)
    for expected in (16, 8, 4, 2, 1, 1):
        size.adapt(0.1, size.events)
        assert size.events == expected
    size.adapt(0.004, 1)
    assert size.events == 1


@pytest.mark.parametrize(
    ("wakes_at_s", "stops_at_s", "took_s"), [(99, 99, 5), (2, 99, 2), (99, 0, 0)]
)
def test_a_wait(wakes_at_s: float, stops_at_s: float, took_s: float) -> None:
    """It ends when its time is over, or when somebody wakes it; once stopped there is none."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        event, stopped = asyncio.Event(), asyncio.Event()
        began_s = loop.time()
        loop.call_later(wakes_at_s, event.set)
        if not stops_at_s:
            stopped.set()
        await sleep_or_wake(5, event, stopped)
        return loop.time() - began_s

    assert run_virtually(main()) == pytest.approx(took_s)


def test_a_wait_for_the_stop_alone() -> None:
    """The stop's own event is not cleared."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        began_s = loop.time()
        loop.call_later(3, stopped.set)
        await sleep_or_wake(5, stopped, stopped)
        assert stopped.is_set()
        return loop.time() - began_s

    assert run_virtually(main()) == pytest.approx(3)
