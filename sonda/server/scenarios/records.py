"""What a run leaves in `sonda.sqlite3`: its masked document, its last ledger, what was reserved."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Final

from sonda.server.database import Database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS scenario_runs (
  id TEXT PRIMARY KEY, started_ns INTEGER NOT NULL, is_active INTEGER NOT NULL, detail TEXT NOT NULL
)
"""


class Records:
    """The runs of one server, by id; *detail* is what `GET /scenarios/{id}` answers."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    async def save(self, detail: dict[str, Any], started_ns: int, *, is_active: bool) -> None:
        """Write a run's state; raise `sqlite3.Error` or `OSError` where that fails."""
        row = (detail["id"], started_ns, is_active, json.dumps(detail))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO scenario_runs VALUES (?, ?, ?, ?)", row)

        await self._database.run(write)

    async def forget(self, run_id: str) -> None:
        """Remove a run."""

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM scenario_runs WHERE id = ?", (run_id,))

        await self._database.run(remove)

    async def load(self) -> list[tuple[int, bool, dict[str, Any]]]:
        """Return every run: when it began, whether it was active, and its detail."""

        def read(connection: sqlite3.Connection) -> list[tuple[int, bool, dict[str, Any]]]:
            rows = connection.execute(
                "SELECT started_ns, is_active, detail FROM scenario_runs ORDER BY started_ns"
            )
            return [(began, bool(active), json.loads(text)) for began, active, text in rows]

        return await self._database.run(read)

    def close(self) -> None:
        """Finish what was begun."""
        self._database.close()


def interrupted(detail: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a run whose runner died: what was reserved without a verdict is unknown."""
    entries = [_interrupted_entry(entry) for entry in detail["scenarios"]]
    columns = [entry["ledger"] for entry in entries]
    total = {
        name: None
        if any(ledger[name] is None for ledger in columns)
        else sum(ledger[name] for ledger in columns)
        for name in columns[0]
    }
    ending = {"state": "finished", "outcome": "interrupted"}
    return {**detail, **ending, "ledger": total, "scenarios": entries}


def _interrupted_entry(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["state"] == "finished":
        return entry
    ledger = dict(entry["ledger"])
    verdicts = ledger["delivered"] + ledger["rejected"] + ledger["skipped"]
    reserved = max(entry.get("reserved", 0), verdicts + ledger["unknown"] + ledger["in_flight"])
    ledger.update(due=reserved, unknown=reserved - verdicts, in_flight=0, backlog=0)
    if ledger["planned"] is not None:
        ledger["not_due"] = ledger["planned"] - reserved
    return {**entry, "state": "finished", "outcome": "interrupted", "ledger": ledger}
