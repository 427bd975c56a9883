"""Events that wait for a blocking write, and how its outcome reaches the event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import UNDER_WAY, Delivery
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack
from sonda.pipeline.problems import Problem
from sonda.pipeline.unanswered import WHILE_UNKNOWN, WHILE_UNSENT, unanswered

if TYPE_CHECKING:
    from sonda.pipeline.net.blocking_writers import WriteQueue, Writer

Verdict: TypeAlias = Result[Ack, Problem]


class WriteRequest:
    """One event's write: it begins or is withdrawn, whichever comes first, and never both."""

    __slots__ = (
        "_queue",
        "_told",
        "_verdict",
        "abandoned",
        "began_ns",
        "body",
        "pushed",
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
        self._queue: WriteQueue | None = None
        self._told: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._verdict: Verdict | BaseException | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop where the verdict is awaited."""
        return self._told.get_loop()

    def join(self, queue: WriteQueue) -> None:
        """Wait in *queue*, which is guarded."""
        self._queue = queue
        queue.join(self)

    async def verdict(self, deadline: Deadline) -> Verdict:
        """Wait for the outcome, at most until the deadline; raises what `Way.write` does.

        When the wait ends too soon, an event that has not begun is withdrawn: `Unreachable`. One
        that has begun will be finished, however long it takes: `OutcomeUnknown`.
        """
        since_ns = perf_counter_ns()
        expiry: asyncio.TimerHandle | None = None
        if not self._told.done():
            expiry = self.loop.call_at(deadline.at_s, self.expire, deadline)
        try:
            return await self._told
        except asyncio.CancelledError as exc:
            if isinstance(outcome := self.cut_off(), Failure):
                explain(exc, outcome.failure())
            raise
        finally:
            if expiry is not None:
                expiry.cancel()
            for delivery in UNDER_WAY.get():
                self.record(delivery, since_ns)

    def set_result(self, verdict: Verdict | BaseException) -> None:
        """Keep what came out, in the thread; a `tell` in the event loop follows."""
        self._verdict = verdict

    def deliver_result(self) -> None:
        """Pass on what came out, unless the wait has ended."""
        if self._told.done():
            return
        if isinstance(self._verdict, BaseException):
            self._told.set_exception(self._verdict)
        elif self._verdict is not None:
            self._told.set_result(self._verdict)

    def record(self, delivery: Delivery, since_ns: int) -> None:
        """Write down how long the event has waited since *since_ns*, and the write it counts with."""
        delivery.waited(since_ns, self.began_ns)
        if self.pushed:
            delivery.pushes.append(self.pushed)

    async def told(self) -> Verdict:
        """Wait for the outcome without a deadline; what has been told before costs nothing."""
        return await self._told

    def expire(self, deadline: Deadline) -> None:
        """End the wait, because the deadline is over."""
        self._conclude(f"within {deadline}", f"timed out after {deadline}")
        self.deliver_result()

    def cut_off(self) -> Verdict:
        """End the wait, because nobody waits any longer; return what has become of the event."""
        self._conclude(WHILE_UNKNOWN, WHILE_UNSENT)
        if isinstance(self._verdict, Success | Failure):
            return self._verdict
        return self._unanswered(WHILE_UNKNOWN, WHILE_UNSENT, left=True)

    def _conclude(self, unknown: str, unsent: str) -> None:
        """Abandon the event with a reason: it is withdrawn, or has begun and its outcome is unknown."""
        withdrawn = self._queue is not None and self._queue.withdraw(self)
        if withdrawn or self._verdict is None:
            self._verdict = self._unanswered(unknown, unsent, left=not withdrawn)

    def _unanswered(self, unknown: str, unsent: str, *, left: bool) -> Verdict:
        target, time_ns = self.writer.target, self.time_ns
        step = f"write to {target}"
        return Failure(
            unanswered(target, step, left=left, time_ns=time_ns, unknown=unknown, unsent=unsent)
        )


def deliver_results(requests: list[WriteRequest], verdict: Verdict | BaseException) -> None:
    """Set the same verdict for all, and wake those who wait."""
    for request in requests:
        request.set_result(verdict)
    notify(requests)


def notify(requests: list[WriteRequest]) -> None:
    """Wake those who wait, with one call for each of their event loops."""
    by_loop: dict[asyncio.AbstractEventLoop, list[WriteRequest]] = {}
    for request in requests:
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
