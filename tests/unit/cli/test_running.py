"""What `sonda run` shows of a plan and of a ledger, and with which status it ends."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from sonda.cli.outcomes import Exit
from sonda.cli.running import _Lines, exit_status, open_private, print_plan, print_report, watching
from sonda.pipeline.scenarios.ledger import Ledger, ProblemCount
from sonda.pipeline.scenarios.report import EntryProgress, Progress, Report
from sonda.pipeline.scenarios.states import Outcome, Shard, State


def entry(ledger: Ledger, *problems: ProblemCount) -> EntryProgress:
    return EntryProgress(
        id="cpu",
        name="cpu",
        state=State.FINISHED,
        outcome=Outcome.COMPLETED,
        ledger=ledger,
        target_rate=2.0,
        last_1s=1.5,
        last_10s=1.0,
        lag_s=0.25,
        problems=problems,
    )


def report(ledger: Ledger, *problems: ProblemCount) -> Report:
    return Report("night", Outcome.STOPPED, 0, 1_500_000_000, (entry(ledger, *problems),))


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, Exit.DELIVERED),
        ({"rejected": 1}, Exit.REJECTED),
        ({"skipped": 1}, Exit.REJECTED),
        ({"unknown": 1}, Exit.UNKNOWN),
        ({"unknown": 1, "rejected": 1}, Exit.UNKNOWN),
    ],
)
def test_the_worst_verdict_is_the_status(columns: dict[str, int], status: Exit) -> None:
    """How the run was stopped does not count."""
    ledger = Ledger(9, 3 + sum(columns.values()), delivered=3, **columns)
    assert exit_status(report(ledger)) is status


PLAN: dict[str, Any] = {
    "scenarios": [
        {
            "id": "a",
            "planned": 12000,
            "starts_at_s": 1.5,
            "ends_at_s": 60.0,
            "series": 3,
            "rewritten": {"jitter": 1},
            "events": ["a 1\x1b\n"],
            "preview": {"error": "no"},
        },
        {"id": "b", "planned": None, "ends_at_s": None, "series": 1, "events": [], "preview": {}},
    ],
    "warnings": ["mind\x1b"],
}


def test_a_plan_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """How many events, from when until when; what is not printable is an escape."""
    assert print_plan(PLAN, as_json=False) is Exit.DELIVERED
    captured = capsys.readouterr()
    assert captured.out.splitlines()[:3] == [
        "a: 12,000 events from 1.5 s until 60 s, 3 series",
        '  means {"jitter": 1}',
        "  a 1\\u001b",
    ]
    assert "b: without an end, 1 series" in captured.out
    assert captured.err == "warning: mind\\u001b\n"


def test_a_plan_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, which holds the warnings, too."""
    print_plan(PLAN, as_json=True)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == PLAN
    assert (captured.out.count("\n"), captured.err) == (1, "")


def test_a_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    """With its problems, and without secrets; as JSON a shard says which it was."""
    problem = ProblemCount("no s3cret\x1b", 2, 0, 1)
    found = report(Ledger(3, 3, delivered=1, rejected=2), problem)
    secrets = {"env:KEY": "s3cret"}
    assert print_report(found, secrets, as_json=False) is Exit.REJECTED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "night: stopped after 1.5 s: planned 3, due 3, delivered 1, rejected 2",
        "  cpu: 2 times no env:KEY\\u001b",
    ]
    print_report(found, secrets, as_json=True, shard=Shard(1, 4))
    document = json.loads(capsys.readouterr().out)
    assert document["shard"] == {"index": 1, "count": 4}
    assert "s3cret" not in json.dumps(document)


def test_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """For a log, where nobody watches; each problem at once."""
    with watching({"cpu": 3}) as watcher:
        assert isinstance(watcher, _Lines)
        for elapsed_s in (0.0, 4.9, 5.0, 7.0, 9.9, 10.1):
            found = entry(Ledger(9, 3, delivered=3))
            watcher.show(Progress("night", State.RUNNING, elapsed_s, (found,)))
        watcher.notice("cpu", "no\x1b")
    line = "night: planned 9, not_due 6, due 3, delivered 3; 1.5/s of 2/s, lag 0.2 s"
    assert capsys.readouterr().err.splitlines() == [line, line, "cpu: no\\u001b"]


def test_a_private_file(tmp_path: Path) -> None:
    """It holds UTF-8 in every locale, and nobody else may read it."""
    with open_private(tmp_path / "x") as file:
        file.write("ü")
    assert (tmp_path / "x").read_bytes() == "ü".encode()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
