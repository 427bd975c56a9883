"""A lock on a file, which another process may hold for some time yet."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

_LOOK_S: Final = 0.05


def open_lock(path: Path) -> int:
    """Return a descriptor of the file to lock, made if it is missing; raise `OSError`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def wait_for_lock(fd: int, patience_s: float) -> None:
    """Wait until nobody else holds the lock; raise `BlockingIOError` after *patience_s*."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(_LOOK_S)
        else:
            return
