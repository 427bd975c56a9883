"""Tables that another version has made are noticed, whatever in them differs."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from sonda.server.tables import KEYS, RUNS, other_columns


@pytest.mark.parametrize("schema", ["", KEYS, RUNS, KEYS + RUNS, "CREATE TABLE other (a)"])
def test_ours_are_ours(schema: str) -> None:
    """Those that are missing are made later; others are nobody's business."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema)
        assert other_columns(connection) is None


@pytest.mark.parametrize(
    ("schema", "difference"),
    [
        (
            KEYS.replace("  media_type TEXT,\n", ""),
            "table idempotency_keys has no column media_type",
        ),
        (
            RUNS.replace("detail TEXT NOT NULL", "detail TEXT NOT NULL, more TEXT"),
            "table scenario_runs has a column more, which is unknown",
        ),
        (
            KEYS.replace("kept INTEGER NOT NULL, number", "number INTEGER NOT NULL, kept"),
            "table idempotency_callers has other columns",
        ),
        (
            KEYS.replace("boot_s REAL NOT NULL", "boot_s TEXT NOT NULL"),
            "table idempotency_keys has other columns",
        ),
    ],
)
def test_the_difference_is_named(schema: str, difference: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema)
        assert other_columns(connection) == difference
