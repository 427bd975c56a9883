"""What leaves together, what is left behind, and whose outcome is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from returns.result import Failure, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net.batch import SINGLY, AllWithdrawn, Batch, Entry, Group, StreamOrder
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.problems import OutcomeUnknown, Refused
from tests.support.events import record
from tests.support.virtual_time import run_virtually

YES: Outcome = Success(Ack(Confirmed.ACCEPTED))
NO: Outcome = Failure(AttemptFailure(Refused("there", "400"), per_event=True))


def payloads(count: int) -> list[Payload]:
    events = (record(str(place), time_ns=place + 1) for place in range(count))
    return [Payload(event, "json_lines", "", event.message.encode()) for event in events]


def in_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    run_virtually(main())


def group(count: int, *, stream: str | None = None) -> Group:
    waiting = Group(asyncio.get_running_loop().create_future(), count)
    deadline = Deadline.within(10)
    waiting.entries += [Entry(each, deadline, stream, waiting) for each in payloads(count)]
    return waiting


def batch_of(entries: list[Entry]) -> Batch:
    batch = Batch(entries, entries[0].deadline)
    for entry in entries:
        entry.batch = batch
    return batch


def test_a_group_is_done_with_its_last_outcome() -> None:
    """The outcomes are in the order of the events, whichever came first."""

    async def work() -> None:
        waiting = group(3)
        first, second, third = waiting.entries
        for entry, outcome in ((third, YES), (first, NO)):
            entry.set_result(outcome)
            assert not waiting.done.done()
        second.set_result(YES)
        assert waiting.done.done()
        assert waiting.outcomes() == [NO, YES, YES]

    in_loop(work)


def test_the_first_outcome_stays() -> None:
    """A deadline that was faster is not overruled."""

    async def work() -> None:
        (entry,) = group(1).entries
        entry.set_result(NO)
        entry.set_result(YES)
        assert entry.outcome == NO

    in_loop(work)


def test_an_unknown_outcome_has_the_events_own_time() -> None:
    """The push it was in has the first one's."""

    async def work() -> None:
        entries = group(2).entries
        batch_of(entries).set_result(Failure(AttemptFailure(OutcomeUnknown("there", "x", 77))))
        problems = [entry.outcome.failure().problem for entry in entries if entry.outcome]
        assert problems == [OutcomeUnknown("there", "x", time_ns) for time_ns in (1, 2)]

    in_loop(work)


def test_who_gave_up_stays_behind() -> None:
    """Until the first byte leaves; if nobody is left, nothing leaves."""

    async def work() -> None:
        entries = group(3).entries
        batch = batch_of(entries)
        entries[1].set_result(NO)
        assert [sent.body for sent in batch.freeze()] == [b"0", b"2"]
        assert entries[1].batch is None
        for entry in entries:
            entry.set_result(NO)
        with pytest.raises(AllWithdrawn):
            batch.freeze()

    in_loop(work)


@pytest.mark.parametrize(
    ("size", "parts"),
    [(2, [1, 1]), (SINGLY, [1] * SINGLY), (SINGLY + 1, [5, 4]), (100, [50, 50])],
)
def test_a_refused_batch_is_split(size: int, parts: list[int]) -> None:
    """A few go one by one, many in halves; all of them have left before."""

    async def work() -> None:
        entries = group(size).entries
        batch_of(entries).split()
        found: dict[object, int] = {}
        for entry in entries:
            found[entry.part] = found.get(entry.part, 0) + 1
            assert entry.has_left
        assert list(found.values()) == parts

    in_loop(work)


def test_a_bug_is_raised_where_the_group_is_awaited() -> None:
    """An event that has its outcome is not touched by it."""

    async def work() -> None:
        waiting = group(2)
        waiting.entries[0].set_result(YES)
        batch_of(waiting.entries).fail(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await waiting.done
        assert waiting.entries[0].outcome == YES

    in_loop(work)


def test_one_entry_of_a_stream_at_a_time() -> None:
    """Those that were held back are woken by the verdict on the one before."""

    async def work() -> None:
        order, woken = StreamOrder(), list[str]()
        first, second = group(2, stream="s").entries
        assert order.admits(first, lambda: woken.append("first"))
        order.enter(first)
        assert order.is_busy
        assert order.admits(first, lambda: woken.append("first"))
        assert not order.admits(second, lambda: woken.append("second"))
        order.leave(second)
        assert woken == []
        order.leave(first)
        assert woken == ["second"]
        assert not order.is_busy

    in_loop(work)
