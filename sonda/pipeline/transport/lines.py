"""Blocking writes, kept off the event loop: one at a time per destination, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
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


class Torn(Exception):  # noqa: N818  # of the event, not of the program
    """A part of the event is out and cannot be taken back; the text says what went wrong."""


class Job:
    """One event's write: it begins or is withdrawn, whichever comes first, and never both.

    *work* runs in a thread and may block. It calls `begin` right before the first byte leaves and
    raises `OSError` where nothing has left or all was taken back, `Torn` otherwise. *target* is
    how problems name the destination, *time_ns* the event's time.
    """

    def __init__(self, target: str, time_ns: int, work: Callable[[Job], Verdict]) -> None:
        self._target = target
        self._time_ns = time_ns
        self._work = work
        self._outcome: Future[Verdict] = Future()  # its states decide the race, under its lock

    async def verdict(self, deadline: Deadline) -> Verdict:
        """Wait for the outcome, at most until the deadline; fails as *work* does.

        At the deadline, or when the wait is cancelled, an event that has not begun is withdrawn:
        `Unreachable`. One that has begun is finished by the thread, however long it takes, and is
        `OutcomeUnknown`.
        """
        told = asyncio.wrap_future(self._outcome)
        try:
            await asyncio.wait([told], timeout=max(0.0, deadline.left_s()))
        finally:
            withdrawn = self._outcome.cancel()
            told.cancel()  # the loop may be closed by the time the thread has finished
        if withdrawn:
            return Failure(
                Unreachable(f"write to {self._target}", f"timed out after {deadline}")
            )
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
        """Do the work, in the thread."""
        verdict, bug = None, None
        try:
            verdict = self._attempt()
        except Withdrawn:
            return
        except BaseException as exc:  # noqa: BLE001  # raised again where the verdict is awaited
            bug = exc
        if self._outcome.running() or self._outcome.set_running_or_notify_cancel():
            if verdict is not None:
                self._outcome.set_result(verdict)
            else:
                self._outcome.set_exception(bug)

    def _attempt(self) -> Verdict:
        try:
            self.check()
            return self._work(self)
        except Torn as exc:
            return Failure(OutcomeUnknown(self._target, f"({exc})", self._time_ns))
        except OSError as exc:
            return Failure(Unreachable(f"write to {self._target}", words(exc)))

    def on_end(self, call: Callable[[], None]) -> None:
        """Have *call* called once the job has been done or withdrawn."""
        self._outcome.add_done_callback(lambda _: call())


_guard: Final = Lock()
_lines: Final[dict[Hashable, dict[Job, None]]] = {}  # an entry while the line has a thread


def line_up(destination: Hashable, job: Job) -> None:
    """Have *job* done after those that wait for the same destination already.

    Each line has a daemon thread while there is something to do: one that hangs, on a full pipe
    or on a dead file system, holds up its own line only, and never the exit of the process.
    """
    with _guard:
        if destination not in _lines:
            Thread(target=_work_off, args=(destination,), daemon=True).start()
            _lines[destination] = {}
        _lines[destination][job] = None
    job.on_end(lambda: _leave(destination, job))


def _work_off(destination: Hashable) -> None:
    while job := _next(destination):
        job.run()


def _next(destination: Hashable) -> Job | None:
    with _guard:
        line = _lines[destination]
        if not line:
            del _lines[destination]
            return None
        job = next(iter(line))
        del line[job]
        return job


def _leave(destination: Hashable, job: Job) -> None:
    """Forget a withdrawn event: behind a write that hangs, they would pile up."""
    with _guard:
        _lines.get(destination, {}).pop(job, None)
