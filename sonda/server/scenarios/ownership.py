"""One runner for a folder of records: a lock on it is held as long as the runner lives."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOCK: Final = "runner.lock"
_LOOK_S: Final = 0.05


def own(folder: Path, patience_s: float) -> int | None:
    """Return a descriptor that holds the lock; wait for another runner to end, at most *patience_s*.

    `None` where it does not; raise `OSError` where there can be no lock.
    """
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + patience_s
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        if time.monotonic() >= until_s:
            os.close(fd)
            return None
        time.sleep(_LOOK_S)


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
