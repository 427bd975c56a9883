"""Writes the log to standard error in a thread of its own, so that no event ever waits for it.

Standard error may be a pipe that nobody reads. What it does not take is kept up to a bound, and
what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

MAX_WAITING_BYTES: Final = 1024 * 1024
_STDERR: Final = 2


class LogWriter:
    """A bounded queue of lines, and the daemon thread that writes them to *descriptor*.

    The thread starts with the first line, and anew in a process that was forked. *dropped* is
    called with how many lines were dropped, in the thread that wrote them.
    """

    def __init__(self, descriptor: int = _STDERR) -> None:
        self._descriptor = descriptor
        self.dropped: Callable[[int], object] = _nobody
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self._turn: list[bytes] = []  # lines of this turn of the event loop
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0  # lines, since the last one that was written
        self._changed = threading.Condition()
        self._is_writing = False
        self._thread: threading.Thread | None = None

    def add(self, text: str | bytes) -> None:
        """Queue a line; those of one turn of the event loop are queued together."""
        line = text if isinstance(text, bytes) else text.encode(errors="backslashreplace")
        self._turn.append(line + b"\n")
        if len(self._turn) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._end_turn)
            except RuntimeError:  # no loop, or not in this thread
                self._end_turn()

    def _end_turn(self) -> None:
        lines = self._turn[:]
        self._turn.clear()
        self.write(lines)

    def write(self, lines: list[bytes]) -> None:
        """Queue lines, each with its line feed; drop those that the queue has no room for."""
        lost = 0
        with self._changed:
            for line in lines:
                if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
                    lost += 1
                else:
                    self._lines.append(line)
                    self._waiting_bytes += len(line)
            self._lost += lost
            if self._thread is None:
                self._thread = self._start_thread()
            self._changed.notify_all()
        if lost:
            self.dropped(lost)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all lines are written; return whether they were within *timeout_s*."""
        self._end_turn()
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._lines and not self._is_writing, timeout_s
            )

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
