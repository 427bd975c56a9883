"""One runner for a folder of records: a lock on it, with its pid, is held as long as it lives."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from sonda.server.file_lock import open_lock, wait_for_lock

_LOCK: Final = "runner.lock"


def own(folder: Path, patience_s: float) -> int | None:
    """Return a descriptor that holds the lock; wait for another runner to end, at most *patience_s*.

    `None` where it does not; raise `OSError` where there can be no lock.
    """
    fd = open_lock(folder / _LOCK)
    try:
        wait_for_lock(fd, patience_s)
    except BlockingIOError:
        os.close(fd)
        return None
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd


def kill_owner(folder: Path) -> None:
    """End a runner that holds the lock and does not end by itself."""
    with suppress(OSError, ValueError):  # it has ended meanwhile
        os.kill(int((folder / _LOCK).read_text()), signal.SIGKILL)


def is_owned(folder: Path) -> bool:
    """Return whether a runner lives that holds the lock."""
    try:
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
