"""Writing to a descriptor: the whole event or nothing, if that can be. Every function may block.

They raise `OSError` where nothing was written or all was taken back, `Torn` where a part is out,
and `Withdrawn` once nobody waits for the event any more.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sonda.pipeline.transport.lines import Job, Torn
from sonda.pipeline.transport.sockets import words

_SLICE_MS: Final = 50  # how often a wait looks whether its event has been withdrawn
_PAUSE_S: Final = 0.002


def write_whole(fd: int, body: bytes, job: Job, *, fsync: bool = False) -> None:
    """Write all of *body*; with *fsync* wait until it is on durable storage."""
    if is_regular(fd):
        _append(fd, body, job, fsync=fsync)
    else:
        _pour(fd, body, job, fsync=fsync)


def claim(lock: Callable[[int, int], object], fd: int) -> bool:
    """Try to lock a file with `flock` or `lockf`; false while somebody else holds it."""
    try:
        lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # no locks here, as on some network file systems: the other precautions must do
    return True


def pause(job: Job) -> None:
    """Wait a little before the next try."""
    time.sleep(_PAUSE_S)
    job.check()


def wait_for_room(fd: int, job: Job) -> None:
    """Wait until a pipe takes `PIPE_BUF` bytes without blocking; a begun event waits forever."""
    room = select.poll()
    room.register(fd, select.POLLOUT)
    while not room.poll(_SLICE_MS):
        job.check()


def is_regular(fd: int) -> bool:
    """Tell a file from pipes, terminals and devices."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _append(fd: int, body: bytes, job: Job, *, fsync: bool) -> None:
    """Write to a regular file, and cut it back if the event does not get there whole."""
    appends = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
    start = os.fstat(fd).st_size if appends else os.lseek(fd, 0, os.SEEK_CUR)
    sent = 0
    job.begin()
    try:
        while sent < len(body):
            if sent and not _ends_at(fd, start + sent):
                raise Torn("another program wrote into the line")
            sent += os.write(fd, body[sent:])
        if fsync:
            os.fsync(fd)
        else:
            os.close(os.dup(fd))  # this is where a network file system tells of a failed write
    except OSError as exc:
        if sent and not _cut_back(fd, start, sent):
            raise Torn(words(exc)) from exc
        raise


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


def _pour(fd: int, body: bytes, job: Job, *, fsync: bool) -> None:
    """Write to what takes nothing back.

    Once a piece is out the rest is owed, however long the reader takes: the next event must not
    land inside a torn line.
    """
    if fsync:
        os.fsync(fd)  # most cannot: better to know before it is too late
    wait_for_room(fd, job)
    job.begin()
    sent = 0
    try:
        while sent < len(body):
            wait_for_room(fd, job)
            with suppress(BlockingIOError):  # somebody else was faster to fill it
                sent += os.write(fd, body[sent : sent + select.PIPE_BUF])
        if fsync:
            os.fsync(fd)
    except OSError as exc:
        if sent:
            raise Torn(words(exc)) from exc
        raise
