"""The folder of a server's state: made if missing, one server's alone, refused where it is unusable."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sonda.server.state import DATABASE, StateDir, StateDirError
from sonda.server.tables import KEYS


def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "sonda"
    StateDir(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / DATABASE).is_file()


def test_a_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    first = StateDir(tmp_path)
    with pytest.raises(StateDirError, match=r"--state-dir .*: another server is using it"):
        StateDir(tmp_path, patience_s=0.0)
    first.close()
    StateDir(tmp_path, patience_s=0.0).close()


@pytest.mark.parametrize("name", [DATABASE, "sonda.lock"])
def test_what_cannot_be_opened_is_refused(tmp_path: Path, name: str) -> None:
    """A folder in the place of a file stands for any that cannot be written."""
    (tmp_path / name).mkdir()
    with pytest.raises(StateDirError, match=f"--state-dir {tmp_path}: "):
        StateDir(tmp_path, patience_s=0.0)


def test_what_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"not a database, but of some length\n" * 100)
    with pytest.raises(StateDirError, match="not a database"):
        StateDir(tmp_path, patience_s=0.0)
    assert (tmp_path / DATABASE).read_bytes().startswith(b"not a database")


def test_the_tables_of_another_version_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    """Else each request with a key would be a 503; the text says what to do."""
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.executescript(KEYS.replace("  media_type TEXT,\n", ""))
        connection.execute("INSERT INTO idempotency_callers VALUES ('caller', 1, 1)")
        connection.commit()
    with pytest.raises(StateDirError) as refused:
        StateDir(tmp_path, patience_s=0.0)
    assert str(refused.value) == (
        f"--state-dir {tmp_path}: {DATABASE}: table idempotency_keys has no column media_type: it is "
        "of another version of Sonda; move the file away (its idempotency keys and scenario runs are "
        "then forgotten), or use another folder"
    )
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        assert connection.execute("SELECT * FROM idempotency_callers").fetchall() == [
            ("caller", 1, 1)
        ]
    (tmp_path / DATABASE).unlink()
    StateDir(tmp_path, patience_s=0.0).close()


def test_a_refused_folder_is_free_again(tmp_path: Path) -> None:
    database = tmp_path / DATABASE
    database.mkdir()
    with pytest.raises(StateDirError):
        StateDir(tmp_path, patience_s=0.0)
    database.rmdir()
    StateDir(tmp_path, patience_s=0.0).close()
