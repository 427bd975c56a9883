"""Receivers of a batch: their order, how many are begun at once, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.interruption import InterruptedGroup
from sonda.pipeline.model import EncodedEvent
from sonda.pipeline.problems import Unreachable
from sonda.pipeline.receivers import Receivers, Send
from sonda.pipeline.turns import Turns
from tests.support.bodies import LOG, changed, raw


def events(urls: Sequence[str]) -> list[EncodedEvent]:
    """Return an event for each URL, whose message is its place."""
    bodies = (
        changed(LOG, sink={"type": "http_push", "url": url}, log__message=str(place))
        for place, url in enumerate(urls)
    )
    return [Pipeline().prepare(raw(body)).unwrap() for body in bodies]


class Sending:
    """Notes what is sent to each receiver, and how many are under way."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.under_way = self.most = 0
        self.gate = asyncio.Event()

    async def send(self, of_one: Sequence[EncodedEvent], _: object) -> list[Result[Any, Any]]:
        messages = [event.validated.event.message for event in of_one]  # type: ignore[union-attr]
        self.sent.append(messages)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        return [Success(message) for message in messages]


async def begin(urls: Sequence[str], send: Send, most: int) -> Receivers:
    """Return the receivers of these URLs."""
    found = events(urls)
    receivers = Receivers(found, [Delivery() for _ in found], send)
    await receivers.sort(most, Turns())
    return receivers


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop go on until something is so."""
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0)
    pytest.fail("it never was so")


def test_each_receiver_has_its_events_in_order_and_each_event_its_outcome() -> None:
    """However many receivers a destination has, and however few of them may be under way."""

    async def main() -> None:
        sending = Sending()
        sending.gate.set()
        urls = [f"http://{host}/{path}" for path in "abcde" for host in ("one", "two")] * 2
        receivers = await begin(urls, sending.send, 2)
        await receivers.send()
        assert sorted(map(tuple, sending.sent)) == sorted(
            (str(place), str(place + 10)) for place in range(10)
        )
        assert receivers.in_order() == [Success(str(place)) for place in range(20)]

    asyncio.run(main())


def test_the_last_receiver_is_the_end() -> None:
    """Whatever their number, and however many of them end in one turn of the event loop."""

    async def send(of_one: Sequence[EncodedEvent], _: object) -> list[Result[Any, Any]]:
        return [Success(None) for _ in of_one]

    async def main() -> None:
        found = events([f"http://host/{number}" for number in range(40)])
        for count in range(1, 41):
            for most in (1, 7, 8, 9, 20):
                receivers = Receivers(found[:count], [Delivery()] * count, send)
                await receivers.sort(most, Turns())
                async with asyncio.timeout(20):
                    await receivers.send()
                assert receivers.in_order() == [Success(None)] * count

    asyncio.run(main())


def test_no_more_receivers_of_a_destination_are_under_way_than_may_be() -> None:
    """Another destination does not wait for it."""

    async def main() -> None:
        sending = Sending()
        urls = [f"http://hangs/{number}" for number in range(100)]
        receivers = await begin([*urls, "http://other/"], sending.send, 7)
        task = asyncio.create_task(receivers.send())
        await until(lambda: ["100"] in sending.sent)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (sending.under_way, len(sending.sent)) == (8, 8)
        sending.gate.set()
        await task
        assert sending.most == 8
        assert len(sending.sent) == 101

    asyncio.run(main())


def test_few_receivers_are_begun_in_a_turn_of_the_loop() -> None:
    """Others have their turns between: ten thousand at once would keep the loop for seconds."""

    async def main() -> None:
        sending = Sending()
        receivers = await begin([f"http://host{n}/" for n in range(200)], sending.send, 7)
        task = asyncio.create_task(receivers.send())
        turns, before = 0, 0
        while before < 200:
            await asyncio.sleep(0)
            assert len(sending.sent) - before <= 16
            before, turns = len(sending.sent), turns + 1
        assert turns > 10
        sending.gate.set()
        await task

    asyncio.run(main())


def test_what_was_not_begun_is_unsent_after_a_cancellation() -> None:
    """What was has the outcome that the cancellation names, or is unsent, too."""

    async def main() -> None:
        begun: list[str] = []

        async def send(of_one: Sequence[EncodedEvent], _: object) -> Any:
            begun.append(of_one[0].validated.sink.target)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as exc:
                exc.__cause__ = InterruptedGroup([Success("there")])
                raise

        receivers = await begin([f"http://host/{n}" for n in range(3)], send, 1)
        task = asyncio.create_task(receivers.send())
        await until(lambda: bool(begun))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await receivers.cancel()
        first, *others = receivers.in_order()
        assert first == Success("there")
        assert [type(one.failure()) for one in others] == [Unreachable] * 2
        assert len(begun) == 1

    asyncio.run(main())


def test_a_bug_is_raised_once_the_others_are_done() -> None:
    """It is no outcome of an event; the neighbours of its event are sent all the same."""

    async def main() -> None:
        sent: list[str] = []

        async def send(of_one: Sequence[EncodedEvent], _: object) -> Any:
            target = of_one[0].validated.sink.target
            if target.endswith("/0"):
                raise ZeroDivisionError
            await asyncio.sleep(0)
            sent.append(target)
            return [Failure(Unreachable("a", "b"))]

        receivers = await begin([f"http://host/{n}" for n in range(5)], send, 1)
        with pytest.raises(ZeroDivisionError):
            await receivers.send()
        assert len(sent) == 4

    asyncio.run(main())
