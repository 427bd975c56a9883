"""The folder where a server keeps what outlives a request: `sonda.sqlite3`.

It lies on a local disk and belongs to one server: a lock on it is held as long as any of the
server's processes lives.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sonda.server.file_lock import open_lock, wait_for_lock
from sonda.server.tables import other_columns

DATABASE: Final = "sonda.sqlite3"
_LOCK: Final = "sonda.lock"
_FOLDER_MODE: Final = 0o700
PATIENCE_S: Final = 3.0
"""How long the workers of a server that was killed have to notice that before its folder is taken."""


class StateDirError(Exception):
    """The folder cannot be used; the text says why."""


class StateDir:
    """The folder of one server, made if it is missing.

    Raise `StateDirError` where it cannot be used, or another server still uses it after
    *patience_s*.
    """

    def __init__(self, folder: Path, patience_s: float = PATIENCE_S) -> None:
        try:
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as exc:
            raise StateDirError(f"--state-dir {folder}: {exc.strerror}") from None
        self._lock_fd = _lock(folder, patience_s)
        try:
            _require_database(folder)
        except (sqlite3.Error, OSError, StateDirError) as exc:
            os.close(self._lock_fd)
            raise StateDirError(f"--state-dir {folder}: {DATABASE}: {exc}") from None

    def close(self) -> None:
        """Let go of the folder; forked processes hold it until they have ended, too."""
        os.close(self._lock_fd)


def _require_database(folder: Path) -> None:
    """Raise unless the database can be written to, and has no tables of another version.

    What is raised is `sqlite3.Error`, `OSError` or `StateDirError`.
    """
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA user_version=1")
        connection.execute("ROLLBACK")
        if difference := other_columns(connection):
            raise StateDirError(
                f"{difference}: it is of another version of Sonda; move the file away (its idempotency "
                "keys and scenario runs are then forgotten), or use another folder"
            )


def _lock(folder: Path, patience_s: float) -> int:
    """Return a descriptor that holds the folder's lock; forked processes inherit it."""
    try:
        fd = open_lock(folder / _LOCK)
    except OSError as exc:
        raise StateDirError(f"--state-dir {folder}: {exc.strerror}") from None
    try:
        wait_for_lock(fd, patience_s)
    except BlockingIOError:
        os.close(fd)
        raise StateDirError(f"--state-dir {folder}: another server is using it") from None
    except OSError as exc:
        os.close(fd)
        raise StateDirError(
            f"--state-dir {folder}: {exc.strerror}; it must lie on a local disk"
        ) from None
    return fd
