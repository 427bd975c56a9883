"""A report as a card in a notebook: the ledger, and rate, lag and verdicts over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from sonda.pipeline.text.cards import Tone, card

if TYPE_CHECKING:
    from sonda.pipeline.scenarios.report import Moment, Report

_WIDTH: Final = 480
_HEIGHT: Final = 72
_COLUMNS: Final = ("planned", "due", "delivered", "rejected", "unknown", "skipped", "not_due")


def report_card(report: Report) -> str:
    """Return the card's HTML."""
    ledger = report.ledger
    tone = (
        Tone.UNSURE
        if ledger.unknown
        else Tone.BAD
        if ledger.rejected or ledger.skipped
        else Tone.GOOD
    )
    columns = ledger.document()
    rows = [(name, [f"{columns[name]:,}"]) for name in _COLUMNS if columns[name] is not None]
    for entry in report.entries:
        rows += [(entry.id, [f"{one.count:,} times {one.text}"]) for one in entry.problems]
    rows += [("warning", [warning]) for warning in report.warnings]
    span_s = (report.ended_ns - report.started_ns) / 1e9
    shown = card(tone, f"{report.name}: {report.outcome} after {span_s:.1f} s", rows)
    charts = "".join(
        _chart(title, report.history, of)
        for title, of in (
            ("events per second", lambda moment: moment.rate),
            ("lag in seconds", lambda moment: moment.lag_s),
            ("not delivered", _not_delivered),
        )
        if any(of(moment) for moment in report.history)
    )
    return shown + charts


def _not_delivered(moment: Moment) -> float:
    return moment.ledger.rejected + moment.ledger.unknown + moment.ledger.skipped


def _chart(title: str, history: Sequence[Moment], of: Callable[[Moment], float]) -> str:
    """Draw one line over time, with its highest value said."""
    end_s = max(moment.elapsed_s for moment in history) or 1.0
    top = max(of(moment) for moment in history) or 1.0
    points = " ".join(
        f"{moment.elapsed_s / end_s * _WIDTH:.1f},{_HEIGHT - of(moment) / top * (_HEIGHT - 4):.1f}"
        for moment in history
    )
    return (
        f'<figure style="margin:.3em 0 .3em 1em"><figcaption style="opacity:.65">{title}, '
        f"at most {top:,.4g}, over {end_s:,.1f} s</figcaption>"
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{title} over time">'
        f'<polyline points="{points}" fill="none" stroke="{Tone.PLAIN.value}" stroke-width="2"/>'
        "</svg></figure>"
    )
