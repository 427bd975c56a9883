"""Blocking writes, kept off the event loop: one at a time per destination, first come first served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from typing import Final, TypeAlias

from returns.result import Failure, Result

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Acknowledged
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.transport.sockets import words

Verdict: TypeAlias = Result[Acknowledged, Problem]


class Withdrawn(Exception):  # noqa: N818  # no error: whoever waited has given up
    """The event must not be written any more."""


class Torn(Exception):  # noqa: N818  # it is the event that is torn
    """A part of the event is out and cannot be taken back; the text says what went wrong."""


class Job:
    """One event's write: it begins or is withdrawn, whichever comes first, and never both.

    *work* runs in a thread and may block. It calls `begin` right before the first byte leaves, and
    raises `OSError` where nothing has left or all was taken back, `Torn` otherwise. *target* is
    how problems name the destination, *time_ns* the event's time.
    """

    def __init__(
        self, destination: Hashable, work: Callable[[Job], Verdict], *, target: str, time_ns: int
    ) -> None:
        self.destination = destination
        self._work = work
        self._target = target
        self._time_ns = time_ns
        self._outcome: Future[Verdict] = Future()  # it can be cancelled until it is running

    async def verdict(self, deadline: Deadline) -> Verdict:
        """Wait for the outcome, at most until the deadline; fails as *work* does.

        When the wait ends too soon, an event that has not begun is withdrawn: `Unreachable`. One
        that has begun will be finished, however long it takes: `OutcomeUnknown`.
        """
        told = asyncio.wrap_future(self._outcome)
        try:
            await asyncio.wait([told], timeout=max(0.0, deadline.left_s()))
        finally:  # at the deadline, or because nobody is interested any more
            withdrawn = self._outcome.cancel()
            told.cancel()  # the loop may be closed by the time the thread has finished
            if withdrawn:
                _leave_line(self)
        if withdrawn:
            return Failure(Unreachable(f"write to {self._target}", f"timed out after {deadline}"))
        if self._outcome.done():
            return self._outcome.result()
        return Failure(OutcomeUnknown(self._target, f"within {deadline}", self._time_ns))

    def check(self) -> None:
        """Raise `Withdrawn` if nobody waits any more."""
        if self._outcome.cancelled():
            raise Withdrawn

    def begin(self) -> None:
        """Rule out a withdrawal from here on; raises `Withdrawn` if there has been one."""
        if not self._outcome.set_running_or_notify_cancel():
            raise Withdrawn

    def run(self) -> None:
        """Do the work, in the thread, and tell the outcome to whoever waits for it."""
        try:
            end = partial(self._outcome.set_result, self._attempt())
        except Withdrawn:
            return
        except BaseException as exc:  # noqa: BLE001  # raised again where the verdict is awaited
            end = partial(self._outcome.set_exception, exc)
        with suppress(InvalidStateError):  # withdrawn just now
            end()

    def _attempt(self) -> Verdict:
        try:
            self.check()
            return self._work(self)
        except Torn as exc:
            return Failure(OutcomeUnknown(self._target, f"({exc})", self._time_ns))
        except OSError as exc:
            return Failure(Unreachable(f"write to {self._target}", words(exc)))


_guard: Final = Lock()
_lines: Final[dict[Hashable, OrderedDict[Job, None]]] = {}  # who waits; no entry without a thread


def line_up(job: Job) -> None:
    """Have *job* done after those that wait for the same destination already.

    A line has a daemon thread while there is something to do. One that hangs, on a full pipe or
    on a dead file system, holds up its own line only, and never the exit of the process.
    """
    with _guard:
        if job.destination not in _lines:
            Thread(target=_work_off, args=(job.destination,), daemon=True).start()
            _lines[job.destination] = OrderedDict()
        _lines[job.destination][job] = None


def _work_off(destination: Hashable) -> None:
    while job := _next_in_line(destination):
        job.run()


def _next_in_line(destination: Hashable) -> Job | None:
    with _guard:
        line = _lines[destination]
        if not line:
            del _lines[destination]
            return None
        return line.popitem(last=False)[0]


def _leave_line(job: Job) -> None:
    """Forget a withdrawn event: behind a write that hangs they would pile up."""
    with _guard:
        if job.destination in _lines:
            _lines[job.destination].pop(job, None)
