"""Events that wait for a blocking write, and how its outcome reaches the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import UNDER_WAY, Delivery
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.sockets import words
from sonda.pipeline.problems import Problem, Unreachable
from sonda.pipeline.unknown_or_unsent import WHILE_UNKNOWN, WHILE_UNSENT, unknown_or_unsent

if TYPE_CHECKING:
    from sonda.pipeline.net.blocking_writers import WriteQueue
    from sonda.pipeline.net.writes import WriteBatch

Verdict: TypeAlias = Result[Ack, Problem]


class Withdrawn(Exception):  # noqa: N818  # no error: whoever waited has given up
    """No event is left that could be written."""


class WouldWait(Exception):  # noqa: N818  # no error: a thread has to do it
    """A write that must not wait would have to."""


class Torn(Exception):  # noqa: N818  # it is the event that is torn
    """A part of the event is out and cannot be taken back; the text says what went wrong."""


class Writer(Protocol):
    """How to write to a destination; events whose writers are equal share a write."""

    @property
    def target(self) -> str:
        """How problems name the destination."""

    @property
    def confirmed(self) -> Confirmed:
        """What a write that ends well proves."""

    @property
    def needs_thread(self) -> bool:
        """Whether any write may block, because it begins with opening what is written to."""

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        """Write what has lined up, in a thread, where it may block.

        It calls the batch's `begin` right before the first byte leaves, and then `set_result` for
        each event of which a byte may have left; the others are in a later batch, so that no event
        pays for another. What it fails with before `begin`, or raises as `OSError`, is the verdict
        on all.
        """


class WriteRequest:
    """One event's write: it begins or is withdrawn, whichever comes first, and never both."""

    __slots__ = (
        "_deadline",
        "_done",
        "_timer",
        "_verdict",
        "abandoned",
        "began_ns",
        "body",
        "is_in_turn",
        "loop",
        "pushed",
        "queue",
        "time_ns",
        "writer",
    )

    def __init__(self, writer: Writer, body: bytes, time_ns: int) -> None:
        self.writer = writer
        self.body = body
        self.time_ns = time_ns
        self.abandoned = False  # nobody waits for it any more
        self.began_ns = 0
        self.pushed = 0  # how many events the write has that this one is the first of
        self.loop: asyncio.AbstractEventLoop | None = None  # of whoever waits, or will do so
        self.queue: WriteQueue | None = None
        self._done: asyncio.Future[Verdict] | None = None
        self._verdict: Verdict | BaseException | None = None
        self._deadline: Deadline | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_in_turn = False  # it is written at the end of the loop's turn: no timer until then

    def attach(self) -> asyncio.AbstractEventLoop:
        """Deliver the verdict in this event loop; call this before any thread knows of the request."""
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
            self._done = self.loop.create_future()
        return self.loop

    async def verdict(self, deadline: Deadline) -> Verdict:
        """Wait for the outcome, at most until the deadline; raises what `Writer.write` does.

        When the wait ends too soon, an event that has not begun is withdrawn: `Unreachable`. One
        that has begun will be finished, however long it takes: `OutcomeUnknown`.
        """
        since_ns = perf_counter_ns()
        self._deadline = deadline
        if not self.is_in_turn:
            self.set_timer()
        try:
            return self._outcome() if self._done is None else await self._done
        except asyncio.CancelledError as exc:
            if isinstance(outcome := self.cut_off(), Failure):
                explain(exc, outcome.failure())
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for delivery in UNDER_WAY.get():
                self.record(delivery, since_ns)

    def set_timer(self) -> None:
        """End the wait at the deadline, unless it has ended."""
        self.is_in_turn = False
        done, loop, deadline = self._done, self.loop, self._deadline
        if done is not None and loop is not None and deadline is not None and not done.done():
            self._timer = loop.call_at(deadline.at_s, self.expire, deadline)

    def _outcome(self) -> Verdict:
        """Return the verdict on what was written before anybody waited; raise as `verdict` does."""
        if isinstance(self._verdict, Success | Failure):
            return self._verdict
        assert isinstance(self._verdict, BaseException)  # noqa: S101  # else it would be attached
        raise self._verdict

    def set_result(self, verdict: Verdict | BaseException) -> None:
        """Keep the verdict, in the thread that writes; `deliver_result` follows in the event loop."""
        self._verdict = verdict

    def deliver_result(self) -> None:
        """Hand the verdict to whoever waits for it, unless the wait has ended."""
        if self._done is None or self._done.done():
            return
        if isinstance(self._verdict, BaseException):
            self._done.set_exception(self._verdict)
        elif self._verdict is not None:
            self._done.set_result(self._verdict)

    def record(self, delivery: Delivery, since_ns: int) -> None:
        """Write down how long the event has waited since *since_ns*, and the write it counts with."""
        delivery.waited(since_ns, self.began_ns)
        if self.pushed:
            delivery.pushes.append(self.pushed)

    async def wait(self) -> Verdict:
        """Wait for the outcome without a deadline; one that is there already needs no wait."""
        return self._outcome() if self._done is None else await self._done

    def expire(self, deadline: Deadline) -> None:
        """End the wait, because the deadline is over."""
        self._conclude(f"within {deadline}", f"timed out after {deadline}")
        self.deliver_result()

    def cut_off(self) -> Verdict:
        """End the wait, because nobody waits any longer; return what has become of the event."""
        self._conclude(WHILE_UNKNOWN, WHILE_UNSENT)
        if isinstance(self._verdict, Success | Failure):
            return self._verdict
        return self._unknown_or_unsent(WHILE_UNKNOWN, WHILE_UNSENT, has_left=True)

    def _conclude(self, unknown: str, unsent: str) -> None:
        """Abandon the event with a reason: it is withdrawn, or has begun and its outcome is unknown."""
        withdrawn = self.queue is not None and self.queue.withdraw(self)
        if withdrawn or self._verdict is None:
            self._verdict = self._unknown_or_unsent(unknown, unsent, has_left=not withdrawn)

    def _unknown_or_unsent(self, unknown: str, unsent: str, *, has_left: bool) -> Verdict:
        target, time_ns = self.writer.target, self.time_ns
        step = f"write to {target}"
        return Failure(
            unknown_or_unsent(
                target, step, has_left=has_left, time_ns=time_ns, unknown=unknown, unsent=unsent
            )
        )


def deliver_results(requests: list[WriteRequest], verdict: Verdict | BaseException) -> None:
    """Set the same verdict for all, and wake those who wait."""
    for request in requests:
        request.set_result(verdict)
    notify(requests)


def refused(writer: Writer, exc: OSError) -> Problem:
    """Return what an error of the operating system's means for an event of which nothing is left there."""
    return Unreachable(f"write to {writer.target}", words(exc), is_final=True)


def give_up(requests: Iterable[WriteRequest], exc: OSError) -> None:
    """Set the verdict on requests that need a thread where none can be started."""
    for request in requests:
        failed = Unreachable(f"write to {request.writer.target}", words(exc))
        deliver_results([request], Failure(failed))


def notify(requests: list[WriteRequest]) -> None:
    """Wake those who wait, with one call for each of their event loops."""
    by_loop: dict[asyncio.AbstractEventLoop, list[WriteRequest]] = {}
    for request in requests:
        if request.loop is not None:
            by_loop.setdefault(request.loop, []).append(request)
    for loop, notified in by_loop.items():
        if loop is _running_loop():  # it was written in the loop's own thread
            _deliver_each(notified)
            continue
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver_each, notified)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _deliver_each(requests: list[WriteRequest]) -> None:
    for request in requests:
        request.deliver_result()
