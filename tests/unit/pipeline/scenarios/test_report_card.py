"""A report's card: its colour, what it leaves out, and charts of what happened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sonda.pipeline.scenarios.ledger import Ledger
from sonda.pipeline.scenarios.report_card import report_card
from sonda.pipeline.text.cards import Tone


def ledger(planned: int | None = None, **counts: int) -> Ledger:
    """Return a ledger in which all that was due has a verdict."""
    return Ledger(planned=planned, due=sum(counts.values()), **counts)


def moment(elapsed_s: float, **more: Any) -> Any:
    plain = {"elapsed_s": elapsed_s, "rate": 0.0, "lag_s": 0.0, "ledger": ledger()}
    return SimpleNamespace(**{**plain, **more})


def card(**more: Any) -> str:
    plain: dict[str, Any] = {
        "name": "demo",
        "outcome": "completed",
        "ledger": ledger(1, delivered=1),
        "entries": (),
        "warnings": (),
        "started_ns": 0,
        "ended_ns": 2_500_000_000,
        "history": [moment(0.0), moment(1.0)],
    }
    return report_card(SimpleNamespace(**{**plain, **more}))  # type: ignore[arg-type]  # as much of it as is read


@pytest.mark.parametrize(
    ("counts", "tone"),
    [
        ({"delivered": 3}, Tone.GOOD),
        ({"delivered": 3, "rejected": 1}, Tone.BAD),
        ({"skipped": 1}, Tone.BAD),
        ({"rejected": 1, "unknown": 1}, Tone.UNSURE),
    ],
)
def test_the_worst_verdict_colours_it(counts: dict[str, int], tone: Tone) -> None:
    """Unknown is worse than rejected: somebody has to look."""
    assert tone.value in card(ledger=ledger(**counts))


def test_what_is_not_known_is_left_out() -> None:
    """A run without an end has no plan."""
    assert "planned" not in card(ledger=ledger(delivered=1_234_567))
    assert "1,234,567" in card(ledger=ledger(delivered=1_234_567))


def test_problems_and_warnings_are_listed_and_escaped() -> None:
    """Their texts come from elsewhere."""
    problem = SimpleNamespace(count=12_000, text="<script>")
    shown = card(entries=[SimpleNamespace(id="a", problems=[problem])], warnings=["<b>"])
    assert "12,000 times &lt;script&gt;" in shown
    assert "<b>" not in shown


def test_only_what_happened_is_charted() -> None:
    """A line at 0 says nothing."""
    assert "<svg" not in card()
    history = [moment(0.0), moment(2.0, rate=10.0), moment(4.0, rate=5.0)]
    shown = card(history=history)
    assert shown.count("<svg") == 1
    assert 'points="0.0,72.0 240.0,4.0 480.0,38.0"' in shown
    assert "at most 10, over 4.0 s" in shown
    failed = [moment(0.0), moment(1.0, lag_s=0.5, ledger=ledger(rejected=1, unknown=2))]
    assert card(history=failed).count("<svg") == 2


def test_a_run_that_took_no_time_is_charted() -> None:
    """Nothing is divided by 0."""
    assert 'points="0.0,4.0"' in card(history=[moment(0.0, rate=1.0)])
