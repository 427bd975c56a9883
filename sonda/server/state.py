"""The folder where a server keeps what outlives a request: `sonda.sqlite3`.

It lies on a local disk and belongs to one server: a lock on it is held as long as any of the
server's processes lives.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

DATABASE: Final = "sonda.sqlite3"
_LOCK: Final = "sonda.lock"
_FOLDER_MODE: Final = 0o700


class StateDirError(Exception):
    """The folder cannot be used; the text says why."""


class StateDir:
    """The state of one server, in *folder*; a private folder goes with the server."""

    def __init__(self, folder: Path, *, is_private: bool = False) -> None:
        self.folder = folder
        self.database = folder / DATABASE
        self._is_private = is_private
        self._lock_fd = _lock(folder)
        self._owner_pid = os.getpid()

    def close(self) -> None:
        """Let go of the folder, and remove it if it is private; for the process that made it."""
        if os.getpid() != self._owner_pid:
            return
        if self._is_private:
            for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", _LOCK):
                with suppress(OSError):
                    (self.folder / name).unlink()
            with suppress(OSError):
                self.folder.rmdir()
        os.close(self._lock_fd)


def open_state_dir(folder: Path | None) -> StateDir | None:
    """Open *folder*, made if it is missing, or without one a private folder.

    Return `None` where no private folder can be made. Raise `StateDirError` where *folder* cannot
    be used, or another server uses it.
    """
    if folder is None:
        try:
            return StateDir(Path(tempfile.mkdtemp(prefix="sonda-")), is_private=True)
        except (OSError, StateDirError):
            return None
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as exc:
        raise StateDirError(f"--state-dir {folder}: {exc.strerror}") from None
    return StateDir(folder)


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
