"""What is stored of a run, and what is known of one whose runner died."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from sonda.server.scenarios.records import Record, Records, interrupted

COLUMNS: Final = (
    *("planned", "due", "not_due", "delivered", "rejected", "unknown"),
    *("skipped", "in_flight", "backlog"),
)


def ledger(**counts: int | None) -> dict[str, int | None]:
    return {**dict.fromkeys(COLUMNS, 0), **counts}


def entry(reserved: int = 0, **more: Any) -> dict[str, Any]:
    plain = {
        "id": "r.a",
        "state": "running",
        "outcome": None,
        "ledger": ledger(planned=100, due=10, not_due=90, delivered=4, rejected=1, in_flight=5),
        "rate": {"target": 1.0, "last_1s": 1.0},
        "lag_s": 2.0,
        "problems": [],
        "on_the_way": [[5, 10]],
    }
    return {**plain, "reserved": reserved, **more}


def run(*entries: dict[str, Any]) -> dict[str, Any]:
    return interrupted({"id": "r", "state": "running", "scenarios": list(entries)})


def test_what_was_reserved_without_a_verdict_is_unknown() -> None:
    """More may have been handed over than the last ledger says; nothing else is claimed."""
    [found] = run(entry(reserved=12))["scenarios"]
    assert found["ledger"] == ledger(
        planned=100, due=12, not_due=88, delivered=4, rejected=1, unknown=7
    )
    assert found["ticks"] == {"unknown": [[5, 11]]}
    assert (found["state"], found["outcome"], found["lag_s"]) == ("finished", "interrupted", 0.0)
    assert found["rate"]["target"] == 0.0
    assert "reserved" not in found
    assert "on_the_way" not in found


def test_what_was_due_and_not_reserved_is_skipped() -> None:
    """It had not left."""
    waiting = ledger(planned=None, due=20, not_due=None, delivered=10, backlog=10)
    [found] = run(entry(reserved=10, ledger=waiting, on_the_way=[]))["scenarios"]
    assert found["ledger"] == ledger(planned=None, due=20, not_due=None, delivered=10, skipped=10)
    assert found["ticks"] == {"skipped": [[10, 19]]}
    [problem] = found["problems"]
    assert problem["count"] == 10


def test_ticks_that_were_known_stay() -> None:
    """Neighbours join them."""
    known = {"unknown": [[0, 1]], "rejected": [[2, 2]]}
    [found] = run(entry(reserved=10, ticks=known, on_the_way=[[2, 10]]))["scenarios"]
    assert found["ticks"] == {"unknown": [[0, 9]], "rejected": [[2, 2]]}


def test_a_finished_entry_stays_as_it_was() -> None:
    """Its ledger is right already; the sum has both."""
    done = entry(
        state="finished", outcome="completed", ledger=ledger(planned=3, due=3, delivered=3)
    )
    found = run(done, entry(reserved=10))
    first, second = found["scenarios"]
    assert first["outcome"] == "completed"
    assert found["ledger"]["delivered"] == 3 + second["ledger"]["delivered"]
    assert (found["state"], found["outcome"]) == ("finished", "interrupted")
    assert found["ended"].endswith("Z")


def test_a_sum_with_an_endless_entry_has_no_plan() -> None:
    """A number would be a lie."""
    endless = ledger(planned=None, due=1, not_due=None, delivered=1)
    total = run(entry(reserved=1, ledger=endless, on_the_way=[]), entry(reserved=10))["ledger"]
    assert (total["planned"], total["not_due"], total["due"]) == (None, None, 11)


def test_the_ledger_adds_up() -> None:
    """Every event that was due has one column."""
    [found] = run(entry(reserved=50))["scenarios"]
    one = found["ledger"]
    columns = ("delivered", "rejected", "unknown", "skipped", "in_flight", "backlog")
    assert one["due"] == sum(one[name] for name in columns)
    assert one["planned"] == one["due"] + one["not_due"]


def test_runs_are_stored_and_forgotten(tmp_path: Path) -> None:
    """The oldest first; one that is saved again is there once."""

    def with_records(work: Callable[[Records], Awaitable[object]]) -> None:
        async def worked() -> None:
            records = Records(tmp_path / "runs.sqlite3")
            try:
                await work(records)
            finally:
                records.close()

        asyncio.run(worked())

    late = Record("b", 2, True, {"id": "late", "x": 1})
    early = Record("a", 1, False, {"id": "early"})

    async def save(records: Records) -> None:
        await records.save(late)
        await records.save(early)
        await records.save(late._replace(is_active=False))

    async def forget(records: Records) -> None:
        assert await records.load() == [early, late._replace(is_active=False)]
        await records.forget("early")
        await records.forget("no such run")
        assert [one.detail["id"] for one in await records.load()] == ["late"]

    with_records(save)
    with_records(forget)
