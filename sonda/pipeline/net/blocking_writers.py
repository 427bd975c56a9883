"""Blocking writes, kept off the event loop: events for one destination line up, and share writes.

What lines up while a write is under way goes out together with the next one; an idle destination
gets its event at once.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from threading import Condition, Lock
from time import perf_counter_ns
from typing import Final, Protocol

from returns.result import Failure, Result, Success

from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.threads import start_daemon
from sonda.pipeline.net.write_requests import Verdict, WriteRequest, deliver_results, notify
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable

_MOST_EVENTS: Final = 1024  # in one write
_IDLE_S: Final = 5.0  # a thread is cheap to keep, and costs 0.1 ms to start
_MOST_IDLE: Final = 64  # they would add up if each event had a file of its own


class Withdrawn(Exception):  # noqa: N818  # no error: whoever waited has given up
    """No event is left that could be written."""


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
            if destination not in _queues:
                _queues[destination] = WriteQueue(destination)
            for request in requests:
                request.join(_queues[destination])
    except OSError as exc:
        for request in requests:
            failed = Unreachable(f"write to {request.writer.target}", words(exc))
            request.set_result(Failure(failed))
            request.deliver_result()


class WriteQueue:
    """Those who wait for one destination, and the daemon thread that serves them.

    One that hangs, on a full pipe or on a dead file system, holds up its own line only, and never
    the exit of the process.
    """

    def __init__(self, destination: Hashable) -> None:
        self.waiting: dict[WriteRequest, None] = {}
        self._arrival = Condition(_guard)
        start_daemon(partial(self._serve, destination))

    def join(self, request: WriteRequest) -> None:
        """Add a request, and wake the thread if it has nothing to do; the caller holds the guard."""
        if not self.waiting:
            self._arrival.notify()
        self.waiting[request] = None

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

    def _serve(self, destination: Hashable) -> None:
        while batch := self._next_batch(destination):
            batch.run()

    def _next_batch(self, destination: Hashable) -> WriteBatch | None:
        with self._arrival:
            idle_s = _IDLE_S if len(_queues) <= _MOST_IDLE else 0.0
            if not self._arrival.wait_for(lambda: self.waiting, idle_s):
                del _queues[destination]
                return None
            return WriteBatch(self, list(self.waiting))


class WriteBatch:
    """One go at a destination, for all that wait for it and whose ways are that of the first."""

    def __init__(self, line: WriteQueue, waiting: list[WriteRequest]) -> None:
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
        except OSError as exc:
            self._fail(Failure(Unreachable(f"write to {self._writer.target}", words(exc))))
        except BaseException as exc:  # noqa: BLE001  # raised again where the verdict is awaited
            self._fail(exc)
        else:
            if isinstance(outcome, Failure):
                self._fail(outcome)
        self._queue.put_back(self._begun)

    def check(self) -> None:
        """Raise `Withdrawn` if nobody waits any more; what has begun is owed in any case."""
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
                deliver_results(settled, Failure(Unreachable(f"write to {target}", words(error))))

    def _fail(self, verdict: Verdict | BaseException) -> None:
        """Set one verdict for all that has begun, or for all that waited for this write."""
        alike = [request for request in self._waiting if request.writer == self._writer]
        failed, self._begun = self._begun or self._queue.take_these(alike), []
        deliver_results(failed, verdict)


_guard: Final = Lock()
_queues: Final[dict[Hashable, WriteQueue]] = {}  # no entry without a thread


def _forget_threads() -> None:
    """Start without lines: a forked process has none of the threads of its parent."""
    _queues.clear()
    _guard.release()


os.register_at_fork(
    before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget_threads
)
