"""Writing to a descriptor: each event whole or not at all, if that can be. All of it may block.

The functions raise `OSError` before anything has begun, and `Withdrawn` once nobody waits.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from returns.result import Failure, Success

from sonda.pipeline.model import Ack
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.unix import (
    PIPE_BUF,
    POLLOUT,
    has_much_room,
    is_appending,
    poll,
    tells_at_close,
)
from sonda.pipeline.net.write_requests import (
    Torn,
    Verdict,
    Withdrawn,
    WouldWait,
    WriteRequest,
    notify,
    refused,
)
from sonda.pipeline.problems import OutcomeUnknown

if TYPE_CHECKING:
    from sonda.pipeline.net.blocking_writers import WriteQueue

_SLICE_MS: Final = 50  # how often a wait looks whether its event has been withdrawn
_PAUSE_S: Final = 0.002
_MOST_BYTES_AT_ONCE: Final = 1 << 16
_MOST_BYTES: Final = 1 << 20  # in one write to a file: no event waits long for its neighbours'


class WriteBatch:
    """One write to a destination, of all that wait for it and have the same writer as the first."""

    def __init__(
        self, queue: WriteQueue, waiting: list[WriteRequest], *, may_wait: bool = True
    ) -> None:
        self.may_wait = may_wait  # whether it may block: it has a thread of its own
        self._queue = queue
        self._writer = waiting[0].writer
        self._waiting = waiting  # when the turn came
        self._begun: list[WriteRequest] = []
        self._settled: list[WriteRequest] = []

    def run(self) -> bool:
        """Write, and set a verdict for each event, whatever happens.

        Return false where it would have had to wait; what has not begun still waits.
        """
        may_continue = True
        try:
            outcome = self._writer.write(self)
        except Withdrawn:
            pass
        except WouldWait:
            may_continue = False
        except OSError as exc:
            self._fail(Failure(refused(self._writer, exc)))
        except BaseException as exc:  # noqa: BLE001  # raised again where the verdict is awaited
            self._fail(exc)
        else:
            if isinstance(outcome, Failure):
                self._fail(outcome)
        if self._begun:
            self._queue.put_back(self._begun)
        notify(self._settled)  # once, and last: whoever is woken competes with this thread
        return may_continue

    def check(self) -> None:
        """Raise `Withdrawn` if nobody waits any more; what has begun is owed in any case.

        Raise `WouldWait` where nothing may wait.
        """
        if not self.may_wait:
            raise WouldWait
        if not self._begun and not self._queue.has(self._writer):
            raise Withdrawn

    def begin(self, most_bytes: int) -> bytes:
        """Rule out withdrawals from here on, and return what is to be written.

        It is at most *most_bytes* long, or one event. Raise `Withdrawn` if there is none, and
        `WouldWait` for one that is longer, where nothing may wait.
        """
        self._begun = self._queue.take(self._writer, most_bytes)
        self._waiting = []
        if not self._begun:
            raise Withdrawn
        if not self.may_wait and len(self._begun[0].body) > most_bytes:
            raise WouldWait
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
        self._settled += settled
        writer = self._writer
        whole = Success(Ack(writer.confirmed))
        for request in settled:
            match error:
                case None if start is not None:
                    request.set_result(Success(Ack(writer.confirmed, offset=start)))
                    start += len(request.body)
                case None:
                    request.set_result(whole)
                case Torn():
                    torn = OutcomeUnknown(writer.target, f"({error})", request.time_ns)
                    request.set_result(Failure(torn))
                case OSError():
                    request.set_result(Failure(refused(writer, error)))

    def _fail(self, verdict: Verdict | BaseException) -> None:
        """Set one verdict for all that has begun, or for all that waited for this write."""
        alike = [request for request in self._waiting if request.writer == self._writer]
        failed, self._begun = self._begun or self._queue.take_these(alike), []
        self._settled += failed
        for request in failed:
            request.set_result(verdict)


def write(
    fd: int, batch: WriteBatch, status: os.stat_result, *, fsync: bool = False, is_own: bool = False
) -> None:
    """Write the events whose turn it is; with *fsync* wait until they are on durable storage.

    *status* is what `os.fstat` has returned under the lock. A descriptor that *is_own* was opened to
    append these events alone: each gets its offset. Any other stays open.
    """
    if stat.S_ISREG(status.st_mode):
        _append(fd, batch, status, fsync=fsync, is_own=is_own)
    else:
        _pour(fd, batch, fsync=fsync)


def check_room(fd: int, status: os.stat_result) -> None:
    """Raise `WouldWait` unless some kilobytes are sure to be written whole without waiting.

    A regular file takes them into the system's cache; a pipe must have room for them.
    """
    is_sure = stat.S_ISREG(status.st_mode) or (stat.S_ISFIFO(status.st_mode) and has_much_room(fd))
    if not is_sure:
        raise WouldWait


def claim(lock: Callable[[int], object], fd: int) -> bool:
    """Try to *lock* a file; return whether nobody else holds it."""
    try:
        lock(fd)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # no locks here, as on some network file systems: the other precautions must do
    return True


def pause(batch: WriteBatch) -> None:
    """Wait a little before the next try."""
    if batch.may_wait:
        time.sleep(_PAUSE_S)
    batch.check()


def wait_for_room(fd: int, batch: WriteBatch) -> None:
    """Wait until a pipe takes `PIPE_BUF` bytes without blocking; what has begun waits forever."""
    while not poll(fd, POLLOUT, _SLICE_MS if batch.may_wait else 0):
        batch.check()


def is_regular(fd: int) -> bool:
    """Return whether it is a file: no pipe, terminal or device."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _append(
    fd: int, batch: WriteBatch, status: os.stat_result, *, fsync: bool, is_own: bool
) -> None:
    """Write to a regular file, and cut back an event that does not get there whole."""
    start = status.st_size if is_own else _position(fd, status.st_size)
    body = batch.begin(_MOST_BYTES if batch.may_wait else _MOST_BYTES_AT_ONCE)
    sent, error = _write_behind(fd, start, body)
    events, end = batch.complete_events(sent)
    if sent == end and isinstance(error, Torn):
        error = None  # no line is torn: those that are left have a turn of their own
    elif isinstance(error, OSError) and sent > end:
        if _cut_back(fd, start + end, sent - end):
            sent = end
        else:
            error = Torn(words(error))
    if events:
        at = start if is_own else None
        # What stays open keeps its file system, so that what is known of that stays true.
        is_flushed = not (fsync or is_own or tells_at_close(status.st_dev))
        failed = None if is_flushed else _flush(fd, start, sent, fsync=fsync)
        batch.set_result(events, failed, start=at)
    if error:
        batch.set_result(1, error)


def _position(fd: int, size: int) -> int:
    """Return where the next write to a file of this size goes: where the last one ended, mostly."""
    position = os.lseek(fd, 0, os.SEEK_CUR)
    return size if position == size or is_appending(fd) else position


def _write_behind(fd: int, start: int, body: bytes) -> tuple[int, OSError | Torn | None]:
    """Write to a regular file; return how many bytes have got there, and what went wrong."""
    sent = 0
    try:
        while sent < len(body):
            if sent and not _ends_at(fd, start + sent):
                return sent, Torn("another program wrote into the line")
            sent += os.write(fd, body[sent:])
    except OSError as exc:
        return sent, exc
    return sent, None


def _flush(fd: int, start: int, sent: int, *, fsync: bool) -> OSError | Torn | None:
    """Sync the last *sent* bytes, or take them back; return what went wrong."""
    try:
        if fsync:
            os.fsync(fd)
        else:
            os.close(os.dup(fd))  # this is where a network file system tells of a failed write
    except OSError as exc:
        return exc if _cut_back(fd, start, sent) else Torn(words(exc))
    return None


def _cut_back(fd: int, start: int, sent: int) -> bool:
    """Take back the last *sent* bytes, unless somebody has written behind them."""
    try:
        if not _ends_at(fd, start + sent):
            return False
        os.ftruncate(fd, start)
        os.lseek(fd, start, os.SEEK_SET)  # or the next write to a redirected stdout leaves a gap
    except OSError:
        return False
    return True


def _ends_at(fd: int, offset: int) -> bool:
    return os.lseek(fd, 0, os.SEEK_CUR) == offset == os.fstat(fd).st_size


def _pour(fd: int, batch: WriteBatch, *, fsync: bool) -> None:
    """Write to what takes nothing back.

    Only what other programs' writes cannot come between goes out together: `PIPE_BUF` bytes, or
    one longer event. Once a piece is out the rest is owed, however long the reader takes: the
    next event must not land inside a torn line.
    """
    if fsync:
        os.fsync(fd)  # most cannot: better to know before it is too late
    if batch.may_wait:  # else there is room
        wait_for_room(fd, batch)
    body = batch.begin(PIPE_BUF)
    sent, error = _write_pieces(fd, body, batch)
    events, end = batch.complete_events(sent)
    if events:
        batch.set_result(events, _sync(fd) if fsync else None)
    if error:
        batch.set_result(1, Torn(words(error)) if sent > end else error)


def _write_pieces(fd: int, body: bytes, batch: WriteBatch) -> tuple[int, OSError | None]:
    """Write as there is room; return how many bytes are out, and what went wrong."""
    sent = 0
    try:
        while True:
            with suppress(BlockingIOError):  # somebody else was faster to fill it
                sent += os.write(fd, body[sent : sent + PIPE_BUF])
            if sent == len(body):
                return sent, None
            wait_for_room(fd, batch)
    except OSError as exc:
        return sent, exc


def _sync(fd: int) -> Torn | None:
    try:
        os.fsync(fd)
    except OSError as exc:
        return Torn(words(exc))
    return None
