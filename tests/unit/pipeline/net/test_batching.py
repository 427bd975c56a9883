"""Group commit: what leaves together, who waits for what, and whose verdict is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
from returns.result import Failure, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import AttemptFailure, Delivery, delivering
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net import batching as batches
from sonda.pipeline.net.batch import Batch, BatchLimits, StepNames, StreamOrder
from sonda.pipeline.net.batching import Queue
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable
from tests.support.destinations import NewLoop, both_loops
from tests.support.events import record
from tests.support.virtual_time import VirtualLoop

T = TypeVar("T")

NAMES = StepNames("there", "reach there", "write there")
YES: Outcome = Success(Ack(Confirmed.ACCEPTED))
NO: Outcome = Failure(AttemptFailure(Refused("there", "400"), per_event=True))
NEVER_SENT: Outcome = Failure(AttemptFailure(Unreachable("reach there", "timed out after 0.05s")))


def payload(name: str, *, stream: str = "", size_bytes: int = 0) -> Payload:
    """Make an event whose bytes are its name, blown up to a size."""
    event = record(name, labels={"stream": stream})
    return Payload(event, "json_lines", "", name.encode().ljust(size_bytes, b"."))


def stream_of(sent: Payload) -> Hashable:
    return sent.event.labels["stream"]


class Left:
    """An attempt of which bytes have left."""

    connected = has_left = True
    sent_bytes = 1


@dataclass
class Destination:
    """Notes what is pushed; each push waits until *gate* opens, or goes the way of *verdict*."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    pushes: list[list[str]] = field(default_factory=list)
    refuse: frozenset[str] = frozenset()

    async def push(self, batch: Batch) -> bool:
        names = [sent.body.decode().rstrip(".") for sent in batch.freeze()]
        self.pushes.append(names)
        batch.attempt = Left()  # type: ignore[assignment]
        await self.gate.wait()
        if self.refuse.intersection(names):
            if len(names) > 1:
                return True
            batch.set_result(NO)
        else:
            batch.set_result(YES)
        return False

    def has_pushes(self, count: int) -> bool:
        return len(self.pushes) == count


def run(
    work: Callable[[Network, Destination], Awaitable[T]],
    loop: NewLoop = asyncio.new_event_loop,
) -> T:
    """Do what needs a transport and a destination; fails if a task is left behind."""

    async def main() -> T:
        transport = Network()
        done = await work(transport, Destination())
        await transport.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return done

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


def line_to(there: Destination, transport: Network, limits: BatchLimits | None = None) -> Queue:
    return Queue(there.push, NAMES, limits or BatchLimits(events=100), transport.start)


def sending(
    line: Queue, name: str, *, timeout_s: float = 10.0, **how: Any
) -> asyncio.Task[Outcome]:
    return asyncio.create_task(line.send(payload(name, **how), Deadline.within(timeout_s)))


async def settled() -> None:
    """Let everything that can run do so, for less time than makes a push slow."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is sure to come."""
    while not condition():  # noqa: ASYNC110  # there is no event for what a fake notes
        await asyncio.sleep(0.001)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no push for slow, however busy the machine is."""
    monkeypatch.setattr(batches, "SLOW_S", 3600.0)


@both_loops
def test_what_arrives_during_a_push_leaves_in_the_next(loop: NewLoop, patient: None) -> None:
    """An idle destination gets its event at once, and the events after it together."""

    async def work(transport: Network, there: Destination) -> list[Outcome]:
        line = line_to(there, transport)
        first = sending(line, "a")
        await settled()
        assert there.pushes == [["a"]]
        rest = [sending(line, name) for name in "bcd"]
        await settled()
        assert there.pushes == [["a"]]
        there.gate.set()
        outcomes = await asyncio.gather(first, *rest)
        assert there.pushes == [["a"], ["b", "c", "d"]]
        return list(outcomes)

    assert run(work, loop) == [YES] * 4


def test_what_arrives_in_one_turn_of_the_loop_leaves_at_once(patient: None) -> None:
    """Nobody waits for the push of somebody who was a few microseconds faster."""

    async def work(transport: Network, there: Destination) -> None:
        there.gate.set()
        line = line_to(there, transport)
        await asyncio.gather(*(sending(line, name) for name in "abc"))
        assert there.pushes == [["a", "b", "c"]]

    run(work)


@pytest.mark.parametrize(
    ("is_answered", "pushes"),
    [(True, [["b"], ["c", "d"], ["e", "f", "g"]]), (False, [["b", "c", "d"], ["e", "f", "g"]])],
)
def test_what_came_alone_is_followed_in_its_own_turn(
    patient: None, is_answered: bool, pushes: list[list[str]]
) -> None:
    """Once an event had no company during a push, the next one does not wait for any either."""

    async def work(transport: Network, there: Destination) -> None:
        line = line_to(there, transport, BatchLimits(events=100, is_answered=is_answered))
        for names in ("a", "bcd", "efg"):
            there.gate.clear()
            tasks = [sending(line, name) for name in names]
            await settled()
            there.gate.set()
            await asyncio.gather(*tasks)
        assert there.pushes[1:] == pushes

    run(work)


def test_a_push_has_its_limits(patient: None) -> None:
    """Events, different streams and bytes are bounded; what has no room goes in the next push."""

    async def pushes_of(limits: BatchLimits, *events: dict[str, Any]) -> list[list[str]]:
        transport, there = Network(), Destination()
        there.gate.set()
        line = line_to(there, transport, limits)
        await asyncio.gather(*(sending(line, **event) for event in events))
        await transport.aclose()
        return there.pushes

    async def work(_transport: Network, _there: Destination) -> None:
        plain = [{"name": name} for name in "abcde"]
        assert await pushes_of(BatchLimits(events=2), *plain) == [["a", "b"], ["c", "d"], ["e"]]
        streams = [{"name": name, "stream": name.lower()} for name in ("a", "b", "A", "c", "B")]
        limits = BatchLimits(events=9, streams=2, stream_of=stream_of)
        assert await pushes_of(limits, *streams) == [["a", "b", "A"], ["c", "B"]]
        half = batches.BATCH_BYTES // 2
        sizes = [("a", half), ("b", half), ("c", 1), ("d", 3 * half), ("e", 1)]
        large = [{"name": name, "size_bytes": size_bytes} for name, size_bytes in sizes]
        assert await pushes_of(BatchLimits(events=9), *large) == [["a", "b"], ["c"], ["d"], ["e"]]

    run(work)


def test_a_slow_destination_gets_several_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a push is slow, the next leaves beside it, but never more than a number of them."""
    monkeypatch.setattr(batches, "SLOW_S", 0.01)
    monkeypatch.setattr(batches, "PUSHES_IN_FLIGHT", 3)

    async def work(transport: Network, there: Destination) -> None:
        line = line_to(there, transport)
        events = []
        for number, name in enumerate("abc", start=1):
            events += [sending(line, name), sending(line, name.upper())]
            await until(partial(there.has_pushes, number))
        assert there.pushes == [["a", "A"], ["b", "B"], ["c", "C"]]
        events += [sending(line, name) for name in "de"]
        await asyncio.sleep(0.05)
        assert len(there.pushes) == 3
        there.gate.set()
        assert await asyncio.gather(*events) == [YES] * 8
        assert there.pushes[3:] == [["d", "e"]]

    run(work)


@both_loops
def test_still_in_line_an_event_is_withdrawn(loop: NewLoop, patient: None) -> None:
    """Its deadline over, an event that has not left is never sent, and the outcome says so."""

    async def work(transport: Network, there: Destination) -> None:
        line = line_to(there, transport)
        first = sending(line, "a")
        await settled()
        late = sending(line, "b", timeout_s=0.05)
        later = sending(line, "c")
        assert await late == NEVER_SENT
        there.gate.set()
        assert [await first, await later] == [YES, YES]
        assert there.pushes == [["a"], ["c"]]

    run(work, loop)


def test_all_who_wait_share_a_timer(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is abandoned at its own deadline, whichever came first, and none costs a timer."""

    async def work(transport: Network, there: Destination) -> None:
        line = line_to(there, transport)
        first = sending(line, "a")
        await settled()
        timers: list[float] = []
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def counting(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return call_at(when, *args, **kwargs)

        monkeypatch.setattr(loop, "call_at", counting)
        waiting = [sending(line, f"b{number}") for number in range(100)]
        early = sending(line, "c", timeout_s=0.05)
        await settled()
        assert len(timers) <= 3  # for the next push, for the first deadline, and for an earlier one
        assert await early == NEVER_SENT
        there.gate.set()
        assert [await one for one in (first, *waiting)] == [YES] * 101
        assert there.pushes[0] == ["a"]
        assert sum(map(len, there.pushes)) == 101

    run(work, VirtualLoop)


def test_a_push_goes_on_for_the_others(patient: None) -> None:
    """Under way, an event whose deadline ends is unknown, with its own time; the rest go on."""

    async def work(transport: Network, there: Destination) -> None:
        line = line_to(there, transport)
        late, patient_one = sending(line, "a", timeout_s=0.05), sending(line, "b")
        time_ns = record("a").time_ns
        unknown = OutcomeUnknown("there", "within 0.05s", time_ns)
        assert await late == Failure(AttemptFailure(unknown))
        there.gate.set()
        assert await patient_one == YES
        assert there.pushes == [["a", "b"]]

    run(work, VirtualLoop)


def test_who_gives_up_stays_behind(patient: None) -> None:
    """An event whose caller is gone before it has left is not sent."""

    async def work(transport: Network, there: Destination) -> None:
        line = line_to(there, transport)
        first = sending(line, "a")
        await settled()
        gone, last = sending(line, "b"), sending(line, "c")
        await settled()
        gone.cancel()
        there.gate.set()
        assert [await first, await last] == [YES, YES]
        assert there.pushes == [["a"], ["c"]]

    run(work)


def test_nobody_left_to_send_for(patient: None) -> None:
    """A batch that everybody has left is not pushed, and the line goes on."""

    async def work(transport: Network, there: Destination) -> None:
        connecting = asyncio.Event()

        async def push(batch: Batch) -> bool:
            await connecting.wait()
            return await there.push(batch)

        line = Queue(push, NAMES, BatchLimits(events=9), transport.start)
        late = sending(line, "a", timeout_s=0.05)
        assert await late == NEVER_SENT
        connecting.set()
        there.gate.set()
        assert await sending(line, "b") == YES
        assert there.pushes == [["b"]]

    run(work, VirtualLoop)


def test_a_refused_push_goes_again_one_by_one(patient: None) -> None:
    """Each event of a refused push has its own second try, and its own verdict, in order."""

    async def work(transport: Network, there: Destination) -> None:
        there.gate.set()
        there.refuse = frozenset("b")
        line = line_to(there, transport)
        outcomes = await asyncio.gather(*(sending(line, name) for name in "abc"))
        assert outcomes == [YES, NO, YES]
        assert there.pushes == [["a", "b", "c"], ["a"], ["b"], ["c"]]

    run(work)


def test_a_large_refused_push_goes_again_in_halves(patient: None) -> None:
    """One guilty event of a thousand costs some twenty pushes, not a thousand."""

    async def work(transport: Network, there: Destination) -> None:
        there.gate.set()
        there.refuse = frozenset(["e700"])
        queue = line_to(there, transport, BatchLimits(events=1000))
        payloads = [payload(f"e{number}") for number in range(1000)]
        outcomes = await queue.send_many(payloads, Deadline.within(10))
        assert [number for number, it in enumerate(outcomes) if it != YES] == [700]
        assert outcomes[700] == NO
        assert len(there.pushes) < 30

    run(work)


def test_a_group_has_one_verdict_each_in_its_order(patient: None) -> None:
    """Those of one group leave together, and the group is done when all of them are."""

    async def work(transport: Network, there: Destination) -> None:
        there.gate.set()
        there.refuse = frozenset("b")
        queue = line_to(there, transport)
        outcomes = await queue.send_many([payload(name) for name in "abc"], Deadline.within(10))
        assert outcomes == [YES, NO, YES]
        assert there.pushes[0] == ["a", "b", "c"]
        assert not queue.is_busy

    run(work)


def test_a_group_that_is_cut_off_says_what_became_of_each(patient: None) -> None:
    """What has left is unknown, what waits is unsent; a neighbour's event is not touched."""

    async def work(transport: Network, there: Destination) -> None:
        queue = line_to(there, transport, BatchLimits(events=2))
        payloads = [payload(name) for name in "abc"]
        group = asyncio.create_task(queue.send_many(payloads, Deadline.within(10)))
        await settled()
        group.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await group
        outcomes = outcomes_of_group(cut_off.value)
        assert outcomes is not None
        kinds = [type(outcome.failure().problem) for outcome in outcomes]
        assert kinds == [OutcomeUnknown, OutcomeUnknown, Unreachable]
        there.gate.set()
        assert await sending(queue, "d") == YES

    run(work)


def test_queues_of_one_order_never_have_a_stream_under_way_twice(patient: None) -> None:
    """Two queues that lead to one receiver share the order of its streams."""

    async def work(transport: Network, there: Destination) -> None:
        limits = BatchLimits(events=9, stream_of=stream_of, one_each=True)
        order = StreamOrder()
        first, second = (Queue(there.push, NAMES, limits, transport.start, order) for _ in range(2))
        sent = [sending(first, "a", stream="s"), sending(second, "b", stream="s")]
        await settled()
        assert there.pushes == [["a"]]
        assert order.is_busy
        there.gate.set()
        assert await asyncio.gather(*sent) == [YES, YES]
        assert there.pushes == [["a"], ["b"]]
        assert not order.is_busy

    run(work)


def test_a_second_try_that_does_not_come_is_unknown(patient: None) -> None:
    """A refused push may have left something behind: its events are never called unsent."""

    async def work(transport: Network, there: Destination) -> None:
        there.refuse = frozenset("a")
        line = line_to(there, transport)
        first, second = sending(line, "a"), sending(line, "b", timeout_s=0.1)
        await settled()
        there.gate.set()
        await until(partial(there.has_pushes, 1))
        there.gate.clear()
        await until(partial(there.has_pushes, 2))
        unknown = OutcomeUnknown("there", "within 0.1s", record().time_ns)
        assert await second == Failure(AttemptFailure(unknown))
        there.gate.set()
        assert await first == NO
        await settled()
        assert there.pushes == [["a", "b"], ["a"]]

    run(work, VirtualLoop)


def test_one_event_of_a_stream_at_a_time() -> None:
    """Where order matters, a stream's next event waits for the verdict on the one before."""

    async def work(transport: Network, there: Destination) -> None:
        limits = BatchLimits(events=9, stream_of=stream_of, one_each=True)
        line = line_to(there, transport, limits)
        events = [
            sending(line, name, stream=stream)
            for name, stream in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b"))
        ]
        await asyncio.sleep(0.05)  # other pushes may leave beside the first, but hold nothing
        assert there.pushes == [["a1", "b1"]]
        there.gate.set()
        assert await asyncio.gather(*events) == [YES] * 5
        assert there.pushes == [["a1", "b1"], ["a2", "b2"], ["a3"]]

    run(work)


def test_a_stream_is_kept_through_the_second_try() -> None:
    """The next event of a stream does not overtake one that has its second try before it."""

    async def work(transport: Network, there: Destination) -> None:
        there.gate.set()
        there.refuse = frozenset({"b1"})
        limits = BatchLimits(events=9, stream_of=stream_of, one_each=True)
        line = line_to(there, transport, limits)
        events = [sending(line, name, stream=name[0]) for name in ("a1", "b1", "a2", "b2", "a3")]
        assert await asyncio.gather(*events) == [YES, NO, YES, YES, YES]
        flat = [name for names in there.pushes[1:] for name in names]
        assert there.pushes[0] == ["a1", "b1"]
        for stream in "ab":
            of_stream = [name for name in flat if name[0] == stream]
            assert of_stream == sorted(of_stream)

    run(work)


def test_a_bug_is_raised_where_the_outcome_is_awaited(patient: None) -> None:
    """A push that raises fails its own events, and the line goes on."""

    async def work(transport: Network, there: Destination) -> None:
        there.gate.set()
        broken = True

        async def push(batch: Batch) -> bool:
            if broken:
                raise ZeroDivisionError
            return await there.push(batch)

        line = Queue(push, NAMES, BatchLimits(events=9), transport.start)
        failed = await asyncio.gather(
            sending(line, "a"), sending(line, "b"), return_exceptions=True
        )
        assert [type(exc) for exc in failed] == [ZeroDivisionError] * 2
        broken = False
        assert await sending(line, "c") == YES

    run(work)


@dataclass
class Begun:
    """A destination that takes batches without a wait; the test says when each is over."""

    pushes: list[list[str]] = field(default_factory=list)
    abandoned: list[list[str]] = field(default_factory=list)
    running: list[tuple[Batch, batches.Pushed]] = field(default_factory=list)
    answers: bool = True
    breaks: bool = False

    def begin(self, batch: Batch, pushed: batches.Pushed) -> bool | None:
        if self.breaks:
            raise ZeroDivisionError
        names = [sent.body.decode() for sent in batch.freeze()]
        self.pushes.append(names)
        batch.attempt = Left()  # type: ignore[assignment]
        if not self.answers:
            batch.set_result(YES)
            return True
        batch.abandon = partial(self.abandoned.append, names)
        self.running.append((batch, pushed))
        return False

    def end(self, outcome: Outcome = YES, *, again: bool | Exception = False) -> None:
        batch, pushed = self.running.pop(0)
        if again is False:
            batch.set_result(outcome)
        pushed(batch, again)

    def line(self, transport: Network, there: Destination, **limits: Any) -> Queue:
        limited = BatchLimits(events=100, **limits)
        return Queue(there.push, NAMES, limited, transport.start, begin=self.begin)


async def alone(line: Queue, there: Begun) -> None:
    """Send an event by itself, so that the next one need not wait for company."""
    task = sending(line, "alone")
    await until(lambda: bool(there.running))
    there.end()
    await task
    there.pushes.clear()


def test_a_lone_event_leaves_in_the_turn_of_its_caller() -> None:
    """Where events come one at a time, no other turn of the loop is waited for."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun()
        line = begun.line(transport, there)
        await alone(line, begun)
        group = line.put((payload("a"),), Deadline.within(10))
        assert begun.pushes == [["a"]]
        begun.end()
        assert group.outcomes() == [YES]
        assert not line.is_busy

    run(work)


def test_an_answer_starts_the_next_push(patient: None) -> None:
    """What has come meanwhile leaves in the very call that ends the push before it."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun()
        line = begun.line(transport, there)
        await alone(line, begun)
        tasks = [sending(line, name) for name in "abc"]
        await settled()
        assert begun.pushes == [["a"]]
        begun.end()
        assert begun.pushes == [["a"], ["b", "c"]]
        begun.end()
        assert await asyncio.gather(*tasks) == [YES] * 3

    run(work)


def test_a_batch_has_the_last_deadline_of_its_events() -> None:
    """The others end their wait themselves."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun()
        line = begun.line(transport, there)
        tasks = [sending(line, str(span_s), timeout_s=span_s) for span_s in (50, 5, 60, 6)]
        await until(lambda: bool(begun.running))
        assert begun.running[0][0].deadline.span_s == 60
        begun.end()
        assert await asyncio.gather(*tasks) == [YES] * 4

    run(work)


def test_a_batch_is_counted_with_one_delivery(patient: None) -> None:
    """The first of its events that is finished has its size; no circle is left behind."""

    async def send(line: Queue, deliveries: list[Delivery], count: int) -> list[Outcome]:
        with delivering(deliveries):
            sent = [payload(str(number)) for number in range(count)]
            return await line.send_many(sent, Deadline.within(10))

    async def work(transport: Network, there: Destination) -> None:
        begun, deliveries = Begun(), [Delivery(), Delivery()]
        line = begun.line(transport, there)
        tasks = [
            asyncio.create_task(send(line, [delivery], count))
            for delivery, count in zip(deliveries, (2, 1), strict=True)
        ]
        await until(lambda: bool(begun.running))
        entries = list(begun.running[0][0].events)
        begun.end()
        await asyncio.gather(*tasks)
        assert [delivery.pushes for delivery in deliveries] == [[3], []]
        assert all(delivery.shared for delivery in deliveries)
        assert all(entry.batch is None and entry.group is None for entry in entries)

    run(work)


def test_a_push_that_is_over_at_once() -> None:
    """Writes without an answer settle their events before anybody waits."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun(answers=False)
        line = begun.line(transport, there)
        assert await asyncio.gather(*(sending(line, name) for name in "ab")) == [YES] * 2
        assert begun.pushes == [["a", "b"]]
        assert not line.is_busy

    run(work)


def test_a_refused_push_goes_again_in_parts() -> None:
    """The events of a batch that is to be split leave by themselves."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun()
        line = begun.line(transport, there)
        tasks = [sending(line, name) for name in "ab"]
        await until(lambda: bool(begun.running))
        begun.end(again=True)
        begun.end(NO)
        begun.end(YES)
        assert await asyncio.gather(*tasks) == [NO, YES]
        assert begun.pushes == [["a", "b"], ["a"], ["b"]]

    run(work)


@pytest.mark.parametrize("late", [False, True], ids=["when it begins", "when it is over"])
def test_a_bug_in_a_push_without_a_task(late: bool) -> None:
    """It is raised where the events are awaited, and the line goes on."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun(breaks=not late)
        line = begun.line(transport, there)
        task = sending(line, "a")
        if late:
            await until(lambda: bool(begun.running))
            begun.end(again=ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await task
        begun.breaks = False
        await alone(line, begun)
        assert not line.is_busy

    run(work)


def test_a_push_that_nobody_waits_for_is_abandoned() -> None:
    """The last of its events to be cancelled ends it, and what waits behind it leaves."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun()
        line = begun.line(transport, there, pushes=1)
        tasks = [sending(line, name) for name in "ab"]
        await until(lambda: bool(begun.running))
        behind = sending(line, "c")
        await settled()
        tasks[0].cancel()
        await settled()
        assert begun.abandoned == []
        tasks[1].cancel()
        await settled()
        assert begun.abandoned == [["a", "b"]]
        assert begun.pushes == [["a", "b"], ["c"]]
        begun.running.pop(0)
        begun.end()
        assert await behind == YES
        await asyncio.gather(*tasks, return_exceptions=True)

    run(work)


def test_a_late_push_is_abandoned() -> None:
    """Once the deadline of all its events is over."""

    async def work(transport: Network, there: Destination) -> None:
        begun = Begun()
        line = begun.line(transport, there)
        outcome = await sending(line, "a", timeout_s=0.05)
        assert isinstance(outcome.failure().problem, OutcomeUnknown)
        assert begun.abandoned == [["a"]]
        assert not line.is_busy

    run(work, VirtualLoop)
