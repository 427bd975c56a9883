"""The tables of `sonda.sqlite3`, and whether a file has just these: another version's may differ.

Spec: https://www.sqlite.org/pragma.html#pragma_table_info
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

KEYS: Final = """
CREATE TABLE IF NOT EXISTS idempotency_keys (
  caller TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  number INTEGER NOT NULL,
  created_s REAL NOT NULL,
  boot TEXT NOT NULL,
  boot_s REAL NOT NULL,
  time_ns INTEGER NOT NULL,
  owner TEXT,
  status INTEGER,
  answer BLOB,
  media_type TEXT,
  resend_safe TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (caller, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_age ON idempotency_keys (caller, number);
CREATE TABLE IF NOT EXISTS idempotency_callers (
  caller TEXT PRIMARY KEY, kept INTEGER NOT NULL, number INTEGER NOT NULL
) WITHOUT ROWID;
"""
RUNS: Final = """
CREATE TABLE IF NOT EXISTS scenario_runs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, started_ns INTEGER NOT NULL,
  is_active INTEGER NOT NULL, detail TEXT NOT NULL
)
"""


def other_columns(connection: sqlite3.Connection) -> str | None:
    """Return how the first table that differs does so; `None` where those that exist are ours.

    Raise `sqlite3.Error` where the file cannot be read.
    """
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(KEYS)
        ours.executescript(RUNS)
        names = ours.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        for (table,) in names.fetchall():
            expected, found = _columns(ours, table), _columns(connection, table)
            if found and found != expected:
                return _difference(table, expected, found)
    return None


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[object, ...]]:
    """Return a table's columns by their names: position, type, constraints; none if it is missing."""
    rows = connection.execute("SELECT * FROM pragma_table_info(?)", (table,))
    return {name: (position, *rest) for position, name, *rest in rows}


def _difference(
    table: str, expected: dict[str, tuple[object, ...]], found: dict[str, tuple[object, ...]]
) -> str:
    for name in expected:
        if name not in found:
            return f"table {table} has no column {name}"
    for name in found:
        if name not in expected:
            return f"table {table} has a column {name}, which is unknown"
    return f"table {table} has other columns"
