"""A bar for each entry, and above them what went wrong."""

from __future__ import annotations

import pytest

from sonda.cli.progress_bars import Bars
from sonda.pipeline.scenarios.ledger import Ledger
from sonda.pipeline.scenarios.report import EntryProgress, Progress
from sonda.pipeline.scenarios.states import State


def entry(name: str, ledger: Ledger) -> EntryProgress:
    return EntryProgress(
        id=name,
        name=name,
        state=State.RUNNING,
        outcome=None,
        ledger=ledger,
        target_rate=1000.0,
        last_1s=999.5,
        last_10s=0.0,
        lag_s=0.04,
    )


def test_what_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where each entry is; names and problems are text, and never markup or control characters."""
    monkeypatch.setenv("COLUMNS", "200")
    with Bars({"[red]a\x1b": 4000, "endless": None}) as bars:
        first = entry("[red]a\x1b", Ledger(4000, 2001, delivered=1999, rejected=1, unknown=1))
        endless = entry("endless", Ledger(None, 1, delivered=1))
        bars.show(Progress("run", State.RUNNING, 1.0, (first, endless)))
        counted = [task.fields["counted"] for task in bars._progress.tasks]
        done = [(task.completed, task.total) for task in bars._progress.tasks]
        bars.notice("endless", "[bold]no\x1b[31m")
    assert counted == [
        "1,999 of 4,000 delivered, 1 rejected, 1 unknown, 999.5/s of 1,000/s, lag 0.0 s",
        "1 delivered, 999.5/s of 1,000/s, lag 0.0 s",
    ]
    assert done == [(2001, 4000), (1, None)]
    shown = capsys.readouterr().err
    assert "[red]a\\u001b" in shown
    assert "endless: [bold]no\\u001b[31m" in shown
