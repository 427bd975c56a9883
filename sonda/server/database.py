"""`sonda.sqlite3`, written by one thread per process; many writes share a transaction.

What is written survives SIGKILL of any process, but not a power cut: a transaction costs no
`fsync`. Spec: https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

Job: TypeAlias = "tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]"

_BUSY_TIMEOUT_S: Final = 5.0  # for the transactions of other workers, which take milliseconds
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PASSING: Final = (*_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_ERROR)
"""What a connection outlives: without room for anything a new one could not even be opened."""
_JOBS_PER_TRANSACTION: Final = 256


class Database:
    """One process's access to the database; *schema* creates what is missing."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None  # the thread's alone

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do *job* in a transaction; raise `sqlite3.Error` or `OSError` if it is not written.

        It may share the transaction with others. What it raises undoes its own changes alone.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sonda-state", daemon=True)
            self._thread.start()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, done))
        return await done

    def close(self) -> None:
        """Finish what was begun, and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        is_last = False
        while not is_last:
            jobs: list[Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == _JOBS_PER_TRANSACTION:
                    break
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
            is_last = job is None
            if jobs:
                self._do(jobs)
        self._disconnect()

    def _do(self, jobs: list[Job]) -> None:
        """Do all jobs in one transaction, or each by itself where that fails for one of them."""
        try:
            self._connection = self._connection or self._connect()
            _transact(self._connection, jobs)
        except (sqlite3.Error, OSError) as exc:
            if _code(exc) not in _PASSING:
                self._disconnect()  # the next job tries anew
            if len(jobs) == 1 or _code(exc) in _BUSY:
                _fail(jobs, exc)
                return
            for job in jobs:
                self._do([job])

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(self._schema)
        return connection


def _transact(connection: sqlite3.Connection, jobs: list[Job]) -> None:
    """Do all jobs in one transaction; their results are told once it is written."""
    results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for job, done in jobs:
            connection.execute("SAVEPOINT job")
            try:
                results.append((done, job(connection), None))
            except sqlite3.Error:
                raise  # such as a full disk: nothing of this transaction is sure
            except Exception as exc:  # noqa: BLE001  # a bug, raised where the job is awaited
                connection.execute("ROLLBACK TO job")
                results.append((done, None, exc))
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    _set_results(results)


def _code(exc: Exception) -> int | None:
    """Return SQLite's primary error code; `None` for what is no error of SQLite's own."""
    code = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _fail(jobs: list[Job], exc: Exception) -> None:
    _set_results([(done, None, exc) for _, done in jobs])


def _set_results(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    """Set the results, in the event loops that wait for them."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Any]] = {}
    for result in results:
        by_loop.setdefault(result[0].get_loop(), []).append(result)
    for loop, of_loop in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_set, of_loop)


def _set(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for done, value, exc in results:
        if done.done():
            continue
        if exc is None:
            done.set_result(value)
        else:
            done.set_exception(exc)
