"""The folder where a server keeps what outlives a request: `sonda.sqlite3`.

It lies on a local disk and belongs to one server: a lock on it is held as long as any of the
server's processes lives.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

DATABASE: Final = "sonda.sqlite3"
_LOCK: Final = "sonda.lock"
_FOLDER_MODE: Final = 0o700


class StateDirError(Exception):
    """The folder cannot be used; the text says why."""


class StateDir:
    """The folder of one server, made if it is missing.

    Raise `StateDirError` where it cannot be used, or another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as exc:
            raise StateDirError(f"--state-dir {folder}: {exc.strerror}") from None
        self._lock_fd = _lock(folder)

    def close(self) -> None:
        """Let go of the folder; forked processes hold it until they have ended, too."""
        os.close(self._lock_fd)


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock; forked processes inherit it."""
    try:
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StateDirError(f"--state-dir {folder}: {exc.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateDirError(f"--state-dir {folder}: another server is using it") from None
    except OSError as exc:
        os.close(fd)
        raise StateDirError(
            f"--state-dir {folder}: {exc.strerror}; it must lie on a local disk"
        ) from None
    return fd
