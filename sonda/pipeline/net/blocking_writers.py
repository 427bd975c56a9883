"""Blocking writes, kept off the event loop: events for one destination line up, and share writes.

What lines up while a write is under way goes out together with the next one; an idle destination
gets its event at once, or with those of the same turn of the loop (docs/adr/0020).
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from typing import Final

from sonda.pipeline.net.threads import start_daemon
from sonda.pipeline.net.unix import count_waits
from sonda.pipeline.net.write_requests import Writer, WriteRequest, give_up
from sonda.pipeline.net.writes import WriteBatch

_MOST_EVENTS: Final = 1024  # in one write
_IDLE_S: Final = 5.0  # a thread is cheap to keep, and costs 0.1 ms to start
_SLOW_S: Final = 0.01  # what the event loop can be kept by a write
_SLOW_FOR_S: Final = 60.0
# To wait for the end of its turn costs an event that is alone two rounds of the loop.
_ALONE: Final = 4  # turns with one event each, after which the next one is written at once
_TRIES_EACH: Final = 16  # after so many events, whether others come in the same turn
_MOST_IDLE: Final = 64  # they would add up if each event had a file of its own


def enqueue_all(requests: Sequence[WriteRequest], destination: Hashable) -> None:
    """Put requests into the queue of a destination in their order, with none between them.

    Where no thread can be started to serve it, the verdict is `Unreachable`.
    """
    try:
        with _guard:
            queue = _queues.get(destination) or _make_queue(destination, requests[0])
            queue.wake()  # first: nothing may wait where no thread can be started
            for request in requests:
                queue.join(request)
                request.attach()
    except OSError as exc:
        give_up(requests, exc)
        with _guard:
            queue.forget()


def enqueue(request: WriteRequest, destination: Hashable) -> None:
    """Write an event in this thread, if the destination is idle and nothing would have to wait.

    What may have to wait is done by a thread, as `enqueue_all` has it. Where events come together,
    either begins at the end of the loop's turn, with all that have come by then.
    """
    with _guard:
        queue = _queues.get(destination) or _make_queue(destination, request)
        is_idle = not queue.waiting and not queue.is_writing
        is_at_once = is_idle and queue.alone >= _ALONE and queue.alone % _TRIES_EACH != 0
        if is_at_once:
            queue.alone += 1
            queue.is_writing = True
            queue.join(request)
        elif (is_idle or queue.turn) and queue.join_turn(request):
            return
    if is_at_once:
        queue.write()
    else:
        enqueue_all((request,), destination)


class WriteQueue:
    """Those who wait for one destination, and the daemon thread that serves them.

    One that hangs, on a full pipe or on a dead file system, holds up its own queue only, and never
    the exit of the process. Whoever *is_writing* has the destination for itself.
    """

    def __init__(self, destination: Hashable, *, needs_thread: bool) -> None:
        self.waiting: dict[WriteRequest, None] = {}
        self.is_writing = False
        self.slow_until_s = 0.0
        self.turn: list[WriteRequest] = []  # what is written at the end of a loop's turn
        self.alone = 0  # how many in a row have had nobody beside them in their turn
        self._destination = destination
        self._needs_thread = needs_thread
        self._has_thread = self._sleeps = False
        self._signals: SimpleQueue[None] = SimpleQueue()  # a condition costs thrice the calls

    def join(self, request: WriteRequest) -> None:
        """Add a request; the caller holds the guard."""
        request.queue = self
        self.waiting[request] = None

    def join_turn(self, request: WriteRequest) -> bool:
        """Let a request be written at the end of this turn of the loop, unless another loop has one.

        Return whether it joined. The caller holds the guard.
        """
        loop = request.attach()
        other = self.turn[0].loop if self.turn else None
        if other is not loop:
            if other is not None and not other.is_closed():  # else its turn never ends
                return False
            self.turn = []
            loop.call_soon(self.end_turn)
        self.join(request)
        request.is_in_turn = True
        self.turn.append(request)
        return True

    def end_turn(self) -> None:
        """Write what has come in this turn of the loop."""
        with _guard:
            turn, self.turn = self.turn, []
            has_work = self._has_work()
            self.is_writing |= has_work
            self.forget()
        self.alone = self.alone + 1 if len(turn) == 1 else 0
        if has_work:
            self.write()
        for request in turn:  # what a thread has to do may take long
            request.set_timer()

    def write(self) -> None:
        """Write what waits, in the thread of an event loop; leave it to a thread where that may wait.

        Where a write has taken long all the same, as with a disk that is slow, the next ones are
        left to a thread, too.
        """
        began_s = monotonic()
        may_continue = began_s >= self.slow_until_s and not self._needs_thread
        waits = count_waits() if may_continue else 0
        while self.waiting and may_continue:
            may_continue = WriteBatch(self, list(self.waiting), may_wait=False).run()
            if (now_s := monotonic()) - began_s > _SLOW_S:
                may_continue = False
                if count_waits() != waits:  # else another program has had the processor
                    self.slow_until_s = now_s + _SLOW_FOR_S
        try:
            with _guard:
                self.is_writing = False
                if self.waiting:
                    for request in self.waiting:
                        request.attach()
                    self.wake()
        except OSError as exc:
            give_up(self.take_these(list(self.waiting)), exc)
            with _guard:
                self.forget()

    def wake(self) -> None:
        """Wake the thread to look at what waits, and start it where there is none; raise `OSError`.

        The caller holds the guard.
        """
        if not self._has_thread:
            start_daemon(self._serve)
            self._has_thread = True
        elif self._sleeps:
            self._sleeps = False
            self._signals.put(None)

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
        while True:
            with _guard:
                if self._has_work():
                    self.is_writing = True
                    return WriteBatch(self, list(self.waiting))
                self._sleeps = True
                idle_s = _IDLE_S if len(_queues) <= _MOST_IDLE else 0.0
            try:
                self._signals.get(timeout=idle_s)
            except Empty:
                if self._ends():
                    return None

    def _ends(self) -> bool:
        """Return whether the thread ends; whoever has come meanwhile has sent a signal."""
        with _guard:
            if ends := self._sleeps:
                self._has_thread = self._sleeps = False
                self.forget()
            return ends

    def forget(self) -> None:
        """Forget the queue of a destination that only threads write to, where none serves it.

        The caller holds the guard.
        """
        is_used = self.waiting or self.is_writing or self._has_thread
        if self._needs_thread and not is_used and _queues.get(self._destination) is self:
            del _queues[self._destination]

    def _has_work(self) -> bool:
        return bool(self.waiting) and not self.is_writing


_guard: Final = Lock()
_queues: Final[dict[Hashable, WriteQueue]] = {}


def _make_queue(destination: Hashable, first: WriteRequest) -> WriteQueue:
    """Return a new queue for a destination; the caller holds the guard."""
    needs_thread = first.writer.needs_thread  # as all that have this destination
    queue = _queues[destination] = WriteQueue(destination, needs_thread=needs_thread)
    return queue


def _forget_threads() -> None:
    """Start without queues: a forked process has none of the threads of its parent."""
    _queues.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget_threads
    )
