"""What a run leaves in `sonda.sqlite3`: its masked document, its last ledger, what was reserved."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from sonda.pipeline.scenarios.ledger import Problems, TickRanges
from sonda.pipeline.values.timestamps import rfc3339
from sonda.server.database import Database
from sonda.server.tables import RUNS

_NO_VERDICT: Final = "the runner of scenarios died before there was a verdict"
_NOT_SENT: Final = "left when the runner of scenarios died"


class Record(NamedTuple):
    """One run as it was stored; *detail* is what `GET /scenarios/{id}` answers."""

    owner: str
    started_ns: int
    is_active: bool
    detail: dict[str, Any]


class Records:
    """The runs of one server, by id."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, RUNS)

    async def save(self, record: Record) -> None:
        """Write a run's state; raise `sqlite3.Error` or `OSError` where that fails."""
        owner, started_ns, is_active, detail = record
        row = (detail["id"], owner, started_ns, is_active, json.dumps(detail))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO scenario_runs VALUES (?, ?, ?, ?, ?)", row)

        await self._database.run(write)

    async def forget(self, run_id: str) -> None:
        """Remove a run; raise as `save` does."""

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM scenario_runs WHERE id = ?", (run_id,))

        await self._database.run(remove)

    async def load(self) -> list[Record]:
        """Return every run, the oldest first; raise as `save` does."""

        def read(connection: sqlite3.Connection) -> list[Record]:
            rows = connection.execute(
                "SELECT owner, started_ns, is_active, detail FROM scenario_runs ORDER BY started_ns"
            )
            return [
                Record(owner, began, bool(active), json.loads(text))
                for owner, began, active, text in rows
            ]

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
    ending = {"state": "finished", "outcome": "interrupted", "ended": rfc3339(time.time_ns())}
    return {**detail, **ending, "ledger": total, "scenarios": entries}


def _interrupted_entry(entry: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in entry.items() if name not in ("reserved", "on_the_way")}
    if entry["state"] == "finished":
        return rest
    ledger = dict(entry["ledger"])
    verdicts = ledger["delivered"] + ledger["rejected"] + ledger["skipped"]
    handed_over = verdicts + ledger["unknown"] + ledger["in_flight"]
    reserved = max(entry["reserved"], handed_over)
    in_doubt = [tuple(one) for one in entry["on_the_way"]]
    if reserved > handed_over:
        in_doubt.append((handed_over, reserved))
    due = max(ledger["due"], reserved)
    left = [(reserved, due)] if due > reserved else []
    unknown, skipped = reserved - verdicts, ledger["skipped"] + due - reserved
    ledger.update(due=due, unknown=unknown, skipped=skipped, in_flight=0, backlog=0)
    if ledger["planned"] is not None:
        ledger["not_due"] = ledger["planned"] - due
    interrupted_entry = {
        **rest,
        "state": "finished",
        "outcome": "interrupted",
        "ledger": ledger,
        "lag_s": 0.0,
        "rate": {**entry["rate"], "target": 0.0},
    }
    added = _with_ticks(interrupted_entry, "unknown", _NO_VERDICT, in_doubt)
    return _with_ticks(added, "skipped", _NOT_SENT, left)


def _with_ticks(
    entry: dict[str, Any], column: str, text: str, more: list[tuple[int, int]]
) -> dict[str, Any]:
    """Return an entry with *more* ticks in a column, each as first and stop, and why."""
    if not more:
        return entry
    ranges = TickRanges()
    known = entry.get("ticks", {})
    for first, last in known.get(column, ()):
        ranges.add(first, last + 1)
    for first, stop in more:
        ranges.add(first, stop)
    added = Problems()
    for first, stop in more:
        added.add(text, range(first, stop))
    listed = [[part.start, part.stop - 1] for part in ranges]
    return {
        **entry,
        "ticks": {**known, column: listed},
        "problems": [*entry["problems"], *(one.document() for one in added.listed())],
    }
