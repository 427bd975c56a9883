"""Groups of blocking writes: their order, their one deadline, and what a cancellation says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import Confirmed, Payload
from sonda.pipeline.net.write_groups import write_many
from sonda.pipeline.problems import Problem, Unreachable
from tests.support.events import record


class Memory:
    """A destination that writes to a list, once *allowed* says so."""

    target = "memory"
    confirmed = Confirmed.ACCEPTED
    needs_thread = True

    def __init__(self, allowed: Callable[[], object] = lambda: None) -> None:
        self.written: list[bytes] = []
        self._allowed = allowed

    def write(self, batch: Any) -> Result[None, Problem]:
        self._allowed()
        data = b"".join(batch.begin())
        self.written.append(data)
        events, _ = batch.complete_events(len(data))
        for _ in range(events):
            batch.set_result(Success(None))
        return Success(None)


def payloads(*texts: bytes) -> list[Payload]:
    return [Payload(record(), "json_lines", "x", text) for text in texts]


def deadline(span_s: float) -> Deadline:
    return Deadline(asyncio.get_running_loop().time() + span_s, span_s)


def test_an_empty_group_has_no_verdicts() -> None:
    """And starts no thread."""

    async def writing() -> list[Any]:
        return list(await write_many([], Memory(), "nowhere", deadline(60)))

    assert asyncio.run(writing()) == []


def test_who_is_late_has_not_been_sent() -> None:
    """A write that has not begun by the deadline is withdrawn, with every event behind it."""

    async def writing() -> list[Any]:
        hanging = threading.Event()
        writer = Memory(hanging.wait)
        try:
            return list(await write_many(payloads(b"a", b"b"), writer, "late", deadline(0.01)))
        finally:
            hanging.set()
            assert writer.written == []

    verdicts = asyncio.run(writing())
    assert len(verdicts) == 2
    for verdict in verdicts:
        assert isinstance(verdict, Failure)
        assert isinstance(verdict.failure(), Unreachable)
        assert "timed out after" in str(verdict.failure())


def test_a_cancellation_says_what_became_of_each() -> None:
    """In the order of the group."""

    async def writing() -> Sequence[Any] | None:
        hanging, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hang() -> None:
            loop.call_soon_threadsafe(begun.set)
            hanging.wait()

        group = asyncio.create_task(
            write_many(payloads(b"a", b"b", b"c"), Memory(hang), "cut off", deadline(60))
        )
        await begun.wait()
        group.cancel()
        try:
            await group
        except asyncio.CancelledError as exc:
            return outcomes_of_group(exc)
        finally:
            hanging.set()
        pytest.fail("the cancellation did not pass through")

    outcomes = asyncio.run(writing())
    assert outcomes is not None
    assert [isinstance(one.failure(), Unreachable) for one in outcomes] == [True] * 3
