"""Jobs on the database: many share a transaction, and each has its own result."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sonda.server.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY)"
Job = Callable[[sqlite3.Connection], Any]


def insert(x: int) -> Job:
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (x,)).rowcount


def rows(connection: sqlite3.Connection) -> list[int]:
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def play(path: Path, main: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
    database = Database(path, SCHEMA)
    try:
        asyncio.run(main(database))
    finally:
        database.close()


def test_each_job_has_its_result(tmp_path: Path) -> None:
    """More of them than a transaction takes; all that is told is written."""

    async def main(database: Database) -> None:
        assert await asyncio.gather(*(database.run(insert(x)) for x in range(600))) == [1] * 600
        assert await database.run(rows) == list(range(600))

    play(tmp_path / "d", main)
    with sqlite3.connect(tmp_path / "d") as connection:
        assert len(rows(connection)) == 600
    connection.close()


def test_a_bug_in_a_job_undoes_that_job_alone(tmp_path: Path) -> None:
    """Its neighbours are written, and the next finds the database as it should be."""

    def broken(connection: sqlite3.Connection) -> None:
        insert(1)(connection)
        raise KeyError("a bug")

    async def main(database: Database) -> None:
        jobs: list[Job] = [insert(0), broken, insert(2)]
        found = await asyncio.gather(*map(database.run, jobs), return_exceptions=True)
        assert found[::2] == [1, 1]
        assert isinstance(found[1], KeyError)
        assert await database.run(rows) == [0, 2]

    play(tmp_path / "d", main)


def test_an_error_of_the_database_fails_its_own_job(tmp_path: Path) -> None:
    """All of that transaction are done again, each by itself."""

    async def main(database: Database) -> None:
        await database.run(insert(1))
        found = await asyncio.gather(
            *(database.run(insert(x)) for x in (0, 1, 2)), return_exceptions=True
        )
        assert found[::2] == [1, 1]
        assert isinstance(found[1], sqlite3.IntegrityError)
        assert await database.run(rows) == [0, 1, 2]

    play(tmp_path / "d", main)


def test_a_job_that_nobody_waits_for_is_done(tmp_path: Path) -> None:
    """What was begun is finished before the end."""

    async def main(database: Database) -> None:
        job = asyncio.create_task(database.run(insert(7)))
        await asyncio.sleep(0)
        job.cancel()
        assert await database.run(rows) == [7]

    play(tmp_path / "d", main)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The job fails; once the folder is there the next one is done."""

    async def main(database: Database) -> None:
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            await database.run(rows)
        (tmp_path / "later").mkdir()
        assert await database.run(insert(1)) == 1

    play(tmp_path / "later" / "d", main)


def test_closing_what_was_never_used(tmp_path: Path) -> None:
    """Opens nothing, and can be done again."""
    database = Database(tmp_path / "d", SCHEMA)
    database.close()
    database.close()
    assert not (tmp_path / "d").exists()
