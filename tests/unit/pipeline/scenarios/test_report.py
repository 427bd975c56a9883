"""A run for programs, terminals and notebooks."""

from __future__ import annotations

import json

from sonda.pipeline.scenarios.ledger import Ledger, ProblemCount
from sonda.pipeline.scenarios.report import EntryProgress, Moment, Progress, Report, total
from sonda.pipeline.scenarios.states import Outcome, State


def entry(name: str, ledger: Ledger, **more: object) -> EntryProgress:
    return EntryProgress(
        id=name,
        name=name,
        state=State.FINISHED,
        outcome=Outcome.COMPLETED,
        ledger=ledger,
        target_rate=1.0,
        last_1s=0.0,
        last_10s=0.0,
        lag_s=0.5 if name == "a" else 2.0,
        **more,  # type: ignore[arg-type]
    )


A = entry(
    "a", Ledger(5, 3, delivered=2, rejected=1), ticks={"rejected": (range(1, 2),), "unknown": ()}
)
B = entry("b", Ledger(None, 1, delivered=1), problems=(ProblemCount("<b>no</b>", 1, 0, 0),))


def test_the_sum_of_all_entries() -> None:
    """Column by column; an entry without an end makes the whole one without an end."""
    progress = Progress("run", State.RUNNING, 1.0, (A, B))
    assert progress.ledger == Ledger(None, 4, delivered=3, rejected=1)
    assert progress.lag_s == 2.0
    assert Progress("run", State.PENDING, 0.0, ()).lag_s == 0.0
    assert total([]) == Ledger(0, 0)


def test_a_report_as_json() -> None:
    """Ranges of ticks are their first and last; what is empty is left out."""
    document = Report("run", Outcome.COMPLETED, 0, 1, (A, B)).document()
    first, second = json.loads(json.dumps(document))["scenarios"]
    assert first["ticks"] == {"rejected": [[1, 1]]}
    assert {"ticks", "truncated", "segments"}.isdisjoint(second)
    assert (document["started"], document["ended"]) == (
        "1970-01-01T00:00:00.000000000Z",
        "1970-01-01T00:00:00.000000001Z",
    )
    assert "warnings" not in document


def test_a_report_for_people() -> None:
    """A line for each of several entries, and for each problem; a single entry is the run itself."""
    both = str(Report("run", Outcome.FAILED, 0, 2_500_000_000, (A, B))).splitlines()
    assert both[0].startswith("run: failed after 2.5 s: due 4, delivered 3, rejected 1")
    assert both[3] == "  b: 1 times <b>no</b>"
    assert len(str(Report("run", Outcome.COMPLETED, 0, 0, (A,))).splitlines()) == 1


def test_a_report_in_a_notebook() -> None:
    """What others wrote is text, not HTML; a chart says its highest value."""
    history = (
        Moment(0.0, 1.0, 0.0, 0.0, Ledger(5, 0)),
        Moment(2.0, 1.0, 1.5, 0.0, Ledger(5, 3, delivered=3)),
    )
    html = Report("<x>", Outcome.COMPLETED, 0, 1, (B,), history, ("<w>",))._repr_html_()
    assert "<x>" not in html
    assert "<w>" not in html
    assert "&lt;b&gt;no" in html
    assert "events per second, at most 1.5, over 2.0 s" in html
    assert "lag in seconds" not in html  # all of it was 0
