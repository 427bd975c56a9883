"""Writes the log to standard error so that no event ever waits for it.

Standard error may be a pipe that nobody reads: what it does not take at once a thread writes. What
that cannot write is kept up to a bound, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import stat
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from sonda.pipeline.net.unix import has_much_room

MAX_WAITING_BYTES: Final = 1024 * 1024
_TOGETHER_S: Final = 0.01
"""So long lines wait for others, to be written together."""
_SLOW_S: Final = 0.01
_SLOW_FOR_S: Final = 60.0
"""So long the thread does every write, after one that has kept the event loop for `_SLOW_S`."""
_STDERR: Final = 2


class LogWriter:
    """A bounded queue of lines, which are written to *descriptor*.

    A daemon thread writes what would have to wait. It starts with the first line of that kind, and
    anew in a process that was forked. *dropped* is called with how many lines were dropped, in the
    thread that added them.
    """

    def __init__(self, descriptor: int = _STDERR) -> None:
        self._descriptor = descriptor
        self.dropped: Callable[[int], object] = _nobody
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self._gathered: list[bytes] = []  # until the event loop hands them over
        self._loop: asyncio.AbstractEventLoop | None = None  # that will do so
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0  # lines, since the last one that was written
        self._changed = threading.Condition()
        self._is_writing = False
        self._slow_until_s = 0.0
        self._thread: threading.Thread | None = None

    def add(self, text: str | bytes) -> None:
        """Queue a line, with those that an event loop's thread adds within the next 10 ms."""
        line = text if isinstance(text, bytes) else text.encode(errors="backslashreplace")
        self._gathered.append(line + b"\n")
        if self._loop is None or self._loop.is_closed():
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:  # no loop, or not in this thread
                self.write()
            else:
                self._loop.call_later(_TOGETHER_S, self.write)

    def write(self, lines: Sequence[bytes] = ()) -> None:
        """Write what has been added, and then *lines*, each with its line feed.

        What would have to wait is queued; lines that the queue has no room for are dropped.
        """
        self._loop, gathered, self._gathered = None, self._gathered, []
        gathered += lines
        lost = 0
        with self._changed:
            if self._waiting_bytes + (size_bytes := sum(map(len, gathered))) <= MAX_WAITING_BYTES:
                self._lines.extend(gathered)
                self._waiting_bytes += size_bytes
            else:
                lost = self._queue_what_fits(gathered)
            self._lost += lost
            self._write_at_once()
            if self._lines:
                if self._thread is None:
                    self._thread = self._start_thread()
                self._changed.notify_all()
        if lost:
            self.dropped(lost)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all lines are written; return whether they were within *timeout_s*."""
        self.write()
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._lines and not self._is_writing, timeout_s
            )

    def _queue_what_fits(self, lines: Sequence[bytes]) -> int:
        """Queue those lines that there is room for; return how many have none."""
        lost = 0
        for line in lines:
            if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
                lost += 1
            else:
                self._lines.append(line)
                self._waiting_bytes += len(line)
        return lost

    def _write_at_once(self) -> None:
        """Write what nothing has to wait for, unless the thread is writing; the queue is locked."""
        began_s = monotonic()
        if self._is_writing or began_s < self._slow_until_s:
            return
        with suppress(OSError):  # closed, or nobody reads it any more
            mode = os.fstat(self._descriptor).st_mode
            is_file, is_pipe = stat.S_ISREG(mode), stat.S_ISFIFO(mode)
            while self._lines and (
                is_file
                or (
                    is_pipe
                    and len(self._lines[0]) <= select.PIPE_BUF
                    and has_much_room(self._descriptor)
                )
            ):
                together = self._take_all() if is_file and not self._lost else self._take()
                if os.write(self._descriptor, together) < len(together):
                    break  # no space is left on the device: the rest of the line is lost
        if monotonic() - began_s > _SLOW_S:
            self._slow_until_s = monotonic() + _SLOW_FOR_S

    def _start_thread(self) -> threading.Thread:
        """Start the thread with all signals blocked: where the main thread blocks them they wait."""
        thread = threading.Thread(target=self._run, name="sonda-log", daemon=True)
        allowed = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, allowed)
        return thread

    def _run(self) -> None:
        changed = self._changed
        while True:
            with changed:
                self._is_writing = False
                changed.notify_all()
                changed.wait_for(lambda: self._lines)
                together = self._take()
                self._is_writing = True
            with suppress(OSError):  # nobody reads it any more: where else to say so?
                while together:
                    together = together[os.write(self._descriptor, together) :]

    def _take_all(self) -> bytes:
        """Return all lines: a file takes them as one, whatever other workers write."""
        together = b"".join(self._lines)
        self._lines.clear()
        self._waiting_bytes = 0
        return together

    def _take(self) -> bytes:
        """Return lines that leave with one system call: as much as other workers cannot split."""
        together = bytearray()
        if self._lost and self._waiting_bytes < MAX_WAITING_BYTES // 2:
            together += b"... %d lines of the log were dropped: nobody read them\n" % self._lost
            self._lost = 0
        while self._lines and (
            not together or len(together) + len(self._lines[0]) <= select.PIPE_BUF
        ):
            line = self._lines.popleft()
            self._waiting_bytes -= len(line)
            together += line
        return bytes(together)


def _nobody(_lines: int) -> None: ...
