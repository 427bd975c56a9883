"""Chunks follow the time that events take; a wait ends with its time, its event or the stop."""

from __future__ import annotations

import asyncio

import pytest

from sonda.pipeline.scenarios.pacing import ChunkSize, Pacer, sleep_or_wake
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


def _woken(asked_ms: list[float]) -> list[float]:
    """Return when each of those who ask at once is woken; all in milliseconds."""

    async def main() -> list[float]:
        loop, pacer = asyncio.get_running_loop(), Pacer()
        began_s = loop.time()

        async def one(at_ms: float) -> float:
            await pacer.sleep_until(began_s + at_ms / 1000, asyncio.Event(), asyncio.Event())
            return round((loop.time() - began_s) * 1000, 6)

        return await asyncio.gather(*map(one, asked_ms))

    return run_virtually(main())


@pytest.mark.parametrize(
    ("asked_ms", "woken_ms"),
    [
        pytest.param([7], [7], id="when it is due"),
        pytest.param([20, 11], [20, 20], id="with one who is woken soon"),
        pytest.param([20, 25, 29], [20, 30, 30], id="not so soon after another"),
        pytest.param([20, 5], [20, 5], id="not with one who is woken much later"),
        pytest.param([40, 9, 31, 12], [40, 9, 40, 19], id="in any order"),
        pytest.param([-5, -1], [0, 0], id="what is late"),
    ],
)
def test_wake_ups_are_shared(asked_ms: list[float], woken_ms: list[float]) -> None:
    """Each as it is asked for, or up to 10 ms later; the times are those of a new pacer."""
    assert _woken(asked_ms) == pytest.approx(woken_ms)


def test_a_shared_wait_ends_with_its_event_or_the_stop() -> None:
    """Who is woken early is no longer waited for; others of that wake-up are woken as asked."""

    async def main() -> list[float]:
        loop, pacer = asyncio.get_running_loop(), Pacer()
        began_s, early, stopped = loop.time(), asyncio.Event(), asyncio.Event()
        loop.call_later(2, early.set)
        first = asyncio.create_task(pacer.sleep_until(began_s + 5, early, stopped))
        second = asyncio.create_task(pacer.sleep_until(began_s + 5, asyncio.Event(), stopped))
        took_s = []
        for waiting in (first, second):
            await waiting
            took_s.append(loop.time() - began_s)
        early.clear()
        stopped.set()
        await pacer.sleep_until(began_s + 9, early, stopped)
        assert not early.is_set()
        return [*took_s, loop.time() - began_s]

    assert run_virtually(main()) == pytest.approx([2, 5, 5])
