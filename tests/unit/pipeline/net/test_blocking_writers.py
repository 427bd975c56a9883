"""Writes that may block: who does them, the event loop's thread or one of their own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from itertools import count
from math import inf

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net import blocking_writers
from sonda.pipeline.net.blocking_writers import enqueue, enqueue_all
from sonda.pipeline.net.write_requests import Verdict, WriteRequest
from sonda.pipeline.net.writes import WriteBatch
from sonda.pipeline.problems import Problem, Unreachable

YES = Success(Ack(Confirmed.HANDED_OFF))


@dataclass(eq=False)
class Notes:
    """A destination: notes what is written, and by which thread; a write waits for its *gate*."""

    gate: threading.Event = field(default_factory=threading.Event)
    written: list[bytes] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    target: str = "here"
    confirmed: Confirmed = Confirmed.HANDED_OFF
    needs_thread: bool = False
    error: OSError | None = None

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        if not self.gate.is_set():
            batch.check()
            self.gate.wait()
        if self.error is not None:
            raise self.error
        self.written.append(batch.begin(1000))
        self.threads.append(threading.current_thread())
        batch.set_result(1000)
        return Success(None)


def write(notes: Notes, *bodies: bytes) -> list[Verdict]:
    """Write events one after the other, each in this thread if that can be."""

    async def main() -> list[Verdict]:
        verdicts = []
        for body in bodies:
            request = WriteRequest(notes, body, 1)
            enqueue(request, notes)
            asyncio.get_running_loop().call_soon(notes.gate.set)
            verdicts.append(await request.verdict(Deadline.within(30)))
        return verdicts

    return asyncio.run(main())


def test_a_write_that_does_not_wait_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle destination's event is written by its caller."""
    monkeypatch.setattr(blocking_writers, "_SLOW_S", inf)  # however busy the machine is
    notes = Notes()
    notes.gate.set()
    assert write(notes, b"a", b"b") == [YES, YES]
    assert notes.written == [b"a", b"b"]
    assert notes.threads == [threading.current_thread()] * 2


def test_a_write_that_would_wait_is_done_by_a_thread() -> None:
    """The loop goes on meanwhile: it is what ends the wait."""
    notes = Notes()
    assert write(notes, b"a") == [YES]
    assert notes.written == [b"a"]
    assert notes.threads[0] is not threading.current_thread()


def test_after_a_slow_write_a_thread_does_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has kept the loop once does not keep it again."""
    monkeypatch.setattr(blocking_writers, "_SLOW_S", 0.0)
    monkeypatch.setattr(blocking_writers, "count_waits", count().__next__)
    notes = Notes()
    notes.gate.set()
    assert write(notes, b"a", b"b") == [YES, YES]
    assert notes.threads[0] is threading.current_thread()
    assert notes.threads[1] is not threading.current_thread()


def test_a_write_is_not_slow_where_the_processor_was_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A busy machine says nothing about the disk: no thread is needed."""
    monkeypatch.setattr(blocking_writers, "_SLOW_S", 0.0)
    monkeypatch.setattr(blocking_writers, "count_waits", lambda: 7)
    notes = Notes()
    notes.gate.set()
    assert write(notes, b"a", b"b") == [YES, YES]
    assert notes.threads == [threading.current_thread()] * 2


async def send(notes: Notes, body: bytes, within_s: float = 30) -> Verdict:
    """Write one event."""
    request = WriteRequest(notes, body, 1)
    enqueue(request, notes)
    return await request.verdict(Deadline.within(within_s))


def write_together(notes: Notes, bodies: list[bytes]) -> list[Verdict]:
    """Write events that come in one turn of the loop."""

    async def main() -> list[Verdict]:
        return await asyncio.gather(*(send(notes, body) for body in bodies))

    return asyncio.run(main())


def test_what_comes_in_one_turn_leaves_in_one_write() -> None:
    """In its order, by the loop's thread; at the next turn nothing of it is left."""
    notes = Notes()
    notes.gate.set()
    for turn in range(20):
        bodies = [b"%d.%d\n" % (turn, each) for each in range(10)]
        assert write_together(notes, bodies) == [YES] * 10
        assert notes.written[turn:] == [b"".join(bodies)]
    assert set(notes.threads) == {threading.current_thread()}


def test_what_needs_a_thread_leaves_together_too() -> None:
    """The thread is woken once the turn is over, not by the first event of it."""
    notes = Notes(needs_thread=True)
    notes.gate.set()
    for turn in range(20):
        bodies = [b"%d.%d\n" % (turn, each) for each in range(10)]
        assert write_together(notes, bodies) == [YES] * 10
        assert notes.written[turn:] == [b"".join(bodies)]
    assert threading.current_thread() not in notes.threads


def test_what_is_given_up_in_the_turn_is_left_out() -> None:
    """It was withdrawn, and the others are written."""
    notes = Notes()
    notes.gate.set()

    async def main() -> list[Verdict]:
        requests = [WriteRequest(notes, body, 1) for body in (b"a", b"gone", b"b")]
        for request in requests:
            enqueue(request, notes)
        given_up = requests[1].cut_off()
        return [given_up, *[await each.verdict(Deadline.within(30)) for each in requests[::2]]]

    given_up, *others = asyncio.run(main())
    assert isinstance(given_up.failure(), Unreachable)
    assert others == [YES, YES]
    assert notes.written == [b"ab"]


def test_a_turn_that_would_wait_is_left_to_a_thread() -> None:
    """All that has come in it waits there until its deadline, and is withdrawn."""
    notes = Notes()

    async def main() -> list[Verdict]:
        patient = asyncio.create_task(send(notes, b"a"))
        hasty = [asyncio.create_task(send(notes, b"b", 0.01)) for _ in range(2)]
        verdicts = await asyncio.gather(*hasty)
        notes.gate.set()
        return [*verdicts, await patient]

    late = Failure(Unreachable("write to here", "timed out after 0.01s"))
    assert asyncio.run(main()) == [late, late, YES]
    assert notes.written == [b"a"]


def test_one_that_is_mostly_alone_seldom_waits_for_company() -> None:
    """It is written in the caller's own turn."""
    notes = Notes()
    notes.gate.set()
    at_once = []

    async def main() -> None:
        for each in range(100):
            request = WriteRequest(notes, b"%d" % each, 1)
            enqueue(request, notes)
            at_once.append(len(notes.written) == each + 1)
            assert await request.verdict(Deadline.within(30)) == YES

    asyncio.run(main())
    assert at_once.count(False) == 4 + 100 // 16
    assert len(notes.written) == 100


def test_another_loop_does_not_wait_for_a_turn() -> None:
    """A loop that is busy with something else keeps nobody: a thread writes for both, in order."""
    notes = Notes()
    notes.gate.set()

    async def main() -> list[Verdict]:
        request = WriteRequest(notes, b"a", 1)
        enqueue(request, notes)
        verdicts: list[Verdict] = []
        thread = threading.Thread(target=lambda: verdicts.append(asyncio.run(send(notes, b"b"))))
        thread.start()
        thread.join()  # keeps this loop from the end of its turn
        return [*verdicts, await request.verdict(Deadline.within(30))]

    assert asyncio.run(main()) == [YES, YES]
    assert b"".join(notes.written) == b"ab"


def test_an_error_before_the_first_byte_is_the_verdict() -> None:
    """It is told as it is where a thread has it, and nothing stays in the queue."""
    notes = Notes(error=BrokenPipeError(32, "Broken pipe"))
    notes.gate.set()
    assert write(notes, b"a") == [Failure(Unreachable("write to here", "Broken pipe"))]
    assert blocking_writers._queues[notes].waiting == {}


def test_where_events_wait_nobody_overtakes_them() -> None:
    """An event that could be written at once goes behind those of a write under way."""
    notes = Notes()

    async def main() -> list[Verdict]:
        first, second = (WriteRequest(notes, body, 1) for body in (b"a", b"b"))
        enqueue_all((first,), notes)
        enqueue(second, notes)
        notes.gate.set()
        return [await one.verdict(Deadline.within(30)) for one in (first, second)]

    assert asyncio.run(main()) == [YES, YES]
    assert b"".join(notes.written) == b"ab"
    assert threading.current_thread() not in notes.threads


def test_a_loop_that_is_closed_within_its_turn_keeps_nobody() -> None:
    """That turn never ends; the next loop has turns of its own, and needs no thread."""
    notes = Notes()
    notes.gate.set()
    left = asyncio.new_event_loop()

    async def leave() -> None:
        enqueue(WriteRequest(notes, b"left", 1), notes)
        left.stop()

    leaving = left.create_task(leave())
    left.run_forever()
    left.close()
    assert leaving.done()
    assert write(notes, b"a", b"b") == [YES, YES]
    assert b"".join(notes.written) == b"leftab"
    assert set(notes.threads) == {threading.current_thread()}


def test_a_queue_that_no_thread_serves_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file has one: they would add up."""

    async def main(notes: Notes) -> Verdict:
        request = WriteRequest(notes, b"a", 1)
        enqueue(request, notes)
        return request.cut_off()

    given_up = Notes(needs_thread=True)
    assert isinstance(asyncio.run(main(given_up)), Failure)
    monkeypatch.setattr(blocking_writers, "start_daemon", refuse)
    refused = Notes(needs_thread=True)
    assert write_together(refused, [b"a", b"b"]) == [NO_THREAD] * 2
    assert not {given_up, refused} & blocking_writers._queues.keys()


NO_THREAD = Failure(Unreachable("write to here", "Resource temporarily unavailable"))


def refuse(_: object) -> None:
    raise OSError(11, "Resource temporarily unavailable")


def test_where_no_thread_can_be_started_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event that would need one was not sent, and never will be."""
    monkeypatch.setattr(blocking_writers, "start_daemon", refuse)
    notes = Notes()
    (verdict,) = write(notes, b"a")
    assert verdict == NO_THREAD
    assert blocking_writers._queues[notes].waiting == {}
    assert notes.written == []
