"""Blocking writes, kept off the event loop: events for one destination line up, and share writes.

What lines up while a write is under way goes out together with the next one; an idle destination
gets its event at once.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from threading import Condition, Lock
from time import monotonic, perf_counter_ns
from typing import Final, Protocol

from returns.result import Failure, Result, Success

from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.threads import start_daemon
from sonda.pipeline.net.write_requests import Verdict, WriteRequest, deliver_results, notify
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable

_MOST_EVENTS: Final = 1024  # in one write
_IDLE_S: Final = 5.0  # a thread is cheap to keep, and costs 0.1 ms to start
_SLOW_S: Final = 0.01  # what the event loop can be kept by a write
_SLOW_FOR_S: Final = 60.0
_MOST_IDLE: Final = 64  # they would add up if each event had a file of its own


class Withdrawn(Exception):  # noqa: N818  # no error: whoever waited has given up
    """No event is left that could be written."""


class WouldWait(Exception):  # noqa: N818  # no error: a thread has to do it
    """A write that must not wait would have to."""


class Torn(Exception):  # noqa: N818  # it is the event that is torn
    """A part of the event is out and cannot be taken back; the text says what went wrong."""


class Writer(Protocol):
    """How to write to a destination; events whose ways are equal share a write."""

    @property
    def target(self) -> str:
        """How problems name the destination."""

    @property
    def confirmed(self) -> Confirmed:
        """What a write that ends well proves."""

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        """Write what has lined up, in a thread, where it may block.

        It calls the turn's `begin` right before the first byte leaves, and then `settle` for those
        that were touched; the others get another turn, so that no event pays for another. What it
        fails with before `begin`, or raises as `OSError`, is the verdict on all.
        """


def enqueue_all(requests: Sequence[WriteRequest], destination: Hashable) -> None:
    """Put requests into the queue of a destination in their order, with none between them.

    Where no thread can be started to serve it, the verdict is `Unreachable`.
    """
    try:
        with _guard:
            queue = _queue(destination)
            queue.wake()  # first: nothing may wait where no thread can be started
            for request in requests:
                request.join(queue)
    except OSError as exc:
        for request in requests:
            failed = Unreachable(f"write to {request.writer.target}", words(exc))
            request.set_result(Failure(failed))
            request.deliver_result()


def write_now(request: WriteRequest, destination: Hashable) -> None:
    """Write an event in this thread, if the destination is idle and nothing would have to wait.

    Else it is put into the queue, as `enqueue_all` does. Where a write has taken long all the same,
    as with a disk that is slow, a thread does the next ones.
    """
    began_s = monotonic()
    with _guard:
        queue = _queue(destination)
        is_idle = not queue.waiting and not queue.is_writing and began_s >= queue.slow_until_s
        if is_idle:
            queue.is_writing = True
            request.join(queue)
    if not is_idle:
        enqueue_all((request,), destination)
        return
    WriteBatch(queue, [request], may_wait=False).run()
    now_s = monotonic()
    try:
        with _guard:
            queue.is_writing = False
            if now_s - began_s > _SLOW_S:
                queue.slow_until_s = now_s + _SLOW_FOR_S
            if queue.waiting:
                queue.wake()
    except OSError as exc:
        failed = Unreachable(f"write to {request.writer.target}", words(exc))
        deliver_results(queue.take_these([request]), Failure(failed))


class WriteQueue:
    """Those who wait for one destination, and the daemon thread that serves them.

    One that hangs, on a full pipe or on a dead file system, holds up its own line only, and never
    the exit of the process. Whoever *is_writing* has the destination for itself.
    """

    def __init__(self, destination: Hashable) -> None:
        self.waiting: dict[WriteRequest, None] = {}
        self.is_writing = False
        self.slow_until_s = 0.0
        self._destination = destination
        self._has_thread = False
        self._arrival = Condition(_guard)

    def join(self, request: WriteRequest) -> None:
        """Add a request; the caller holds the guard."""
        self.waiting[request] = None

    def wake(self) -> None:
        """Wake the thread to look at what waits, and start it where there is none; raise `OSError`.

        The caller holds the guard.
        """
        if not self._has_thread:
            start_daemon(self._serve)
            self._has_thread = True
        self._arrival.notify()

    def withdraw(self, request: WriteRequest) -> bool:
        """Forget a request; return whether it was in time: behind a write that hangs they pile up."""
        with _guard:
            request.abandoned = True
            return self.waiting.pop(request, request) is None

    def has(self, writer: Writer) -> bool:
        """Return whether a request waits for this writer."""
        with _guard:
            return any(request.writer == writer for request in self.waiting)

    def take(self, writer: Writer, most_bytes: int) -> list[WriteRequest]:
        """Take the requests out that share a write: they cannot be withdrawn any more."""
        taken: list[WriteRequest] = []
        size = 0
        with _guard:
            for request in self.waiting:
                if request.writer is writer or request.writer == writer:
                    size += len(request.body)
                    if taken and (size > most_bytes or len(taken) == _MOST_EVENTS):
                        break
                    taken.append(request)
            for request in taken:
                del self.waiting[request]
        return taken

    def take_these(self, requests: Iterable[WriteRequest]) -> list[WriteRequest]:
        """Take requests out unless they have been withdrawn."""
        with _guard:
            return [request for request in requests if self.waiting.pop(request, request) is None]

    def put_back(self, requests: Iterable[WriteRequest]) -> None:
        """Let requests wait once more, before all others, but not those that nobody waits for."""
        with _guard:
            self.waiting = {
                request: None for request in requests if not request.abandoned
            } | self.waiting

    def _serve(self) -> None:
        while batch := self._next_batch():
            batch.run()
            self.is_writing = False

    def _next_batch(self) -> WriteBatch | None:
        with self._arrival:
            idle_s = _IDLE_S if len(_queues) <= _MOST_IDLE else 0.0
            if not self._arrival.wait_for(self._has_work, idle_s):
                self._has_thread = False
                if not self.is_writing:
                    del _queues[self._destination]
                return None
            self.is_writing = True
            return WriteBatch(self, list(self.waiting))

    def _has_work(self) -> bool:
        return bool(self.waiting) and not self.is_writing


class WriteBatch:
    """One go at a destination, for all that wait for it and whose ways are that of the first."""

    def __init__(
        self, line: WriteQueue, waiting: list[WriteRequest], *, may_wait: bool = True
    ) -> None:
        self.may_wait = may_wait  # whether it may block: it has a thread of its own
        self._queue = line
        self._writer = waiting[0].writer
        self._waiting = waiting  # when the turn came
        self._begun: list[WriteRequest] = []

    def run(self) -> None:
        """Write, and set a verdict for each event, whatever happens."""
        try:
            outcome = self._writer.write(self)
        except Withdrawn:
            return
        except WouldWait:
            pass  # what has not begun still waits
        except OSError as exc:
            self._fail(Failure(_refused(self._writer, exc)))
        except BaseException as exc:  # noqa: BLE001  # raised again where the verdict is awaited
            self._fail(exc)
        else:
            if isinstance(outcome, Failure):
                self._fail(outcome)
        self._queue.put_back(self._begun)

    def check(self) -> None:
        """Raise `Withdrawn` if nobody waits any more; what has begun is owed in any case.

        Raise `WouldWait` where nothing may wait.
        """
        if not self.may_wait:
            raise WouldWait
        if not self._begun and not self._queue.has(self._writer):
            raise Withdrawn

    def begin(self, most_bytes: int) -> bytes:
        """Rule out withdrawals from here on, and give what is to be written.

        It is at most *most_bytes* long, or one event. Raises `Withdrawn` if there is none.
        """
        self._begun = self._queue.take(self._writer, most_bytes)
        self._waiting = []
        if not self._begun:
            raise Withdrawn
        self._begun[0].pushed = len(self._begun)
        now_ns = perf_counter_ns()
        for request in self._begun:
            request.began_ns = now_ns
        return b"".join([request.body for request in self._begun])

    def complete_events(self, sent: int) -> tuple[int, int]:
        """Return how many events are whole in the first *sent* bytes, and their length in bytes."""
        events = end = 0
        for request in self._begun:
            if end + len(request.body) > sent:
                break
            events, end = events + 1, end + len(request.body)
        return events, end

    def set_result(
        self, events: int, error: OSError | Torn | None = None, *, start: int | None = None
    ) -> None:
        """Set the verdict on the first of those that have begun; a file's was written at *start*."""
        settled, self._begun = self._begun[:events], self._begun[events:]
        target = self._writer.target
        match error:
            case None:
                if start is None:
                    deliver_results(settled, Success(Ack(self._writer.confirmed)))
                    return
                for request in settled:
                    ack = Ack(self._writer.confirmed, offset=start)
                    request.set_result(Success(ack))
                    start += len(request.body)
                notify(settled)
            case Torn():
                for request in settled:
                    torn = OutcomeUnknown(target, f"({error})", request.time_ns)
                    deliver_results([request], Failure(torn))
            case OSError():
                deliver_results(settled, Failure(_refused(self._writer, error)))

    def _fail(self, verdict: Verdict | BaseException) -> None:
        """Set one verdict for all that has begun, or for all that waited for this write."""
        alike = [request for request in self._waiting if request.writer == self._writer]
        failed, self._begun = self._begun or self._queue.take_these(alike), []
        deliver_results(failed, verdict)


def _refused(writer: Writer, exc: OSError) -> Problem:
    """Return what an error of the operating system's means for an event of which nothing is left there."""
    return Unreachable(f"write to {writer.target}", words(exc), is_final=True)


_guard: Final = Lock()
_queues: Final[dict[Hashable, WriteQueue]] = {}


def _queue(destination: Hashable) -> WriteQueue:
    """Return the queue of a destination, made now if there is none; the caller holds the guard."""
    if destination not in _queues:
        _queues[destination] = WriteQueue(destination)
    return _queues[destination]


def _forget_threads() -> None:
    """Start without lines: a forked process has none of the threads of its parent."""
    _queues.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget_threads
    )
