"""For notebooks: a result shown as what is in it, and as a row of a table."""

from __future__ import annotations

from typing import Any, assert_never

from returns.result import Failure, Result, Success

from sonda.pipeline.model import Receipt
from sonda.pipeline.problems import (
    DestinationBusy,
    Forbidden,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from sonda.pipeline.scenarios.report import Report
from sonda.pipeline.values.timestamps import rfc3339


def register(shell: Any) -> None:
    """Register IPython's display of a `Success` or a `Failure`: as the receipt, preview or problem in it."""
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(Success, _html)
    html.for_type(Failure, _html)


def _html(result: Result[object, object]) -> str | None:
    """Ask what is in a result; `None` where that has no HTML, and its text is shown."""
    inner = result.unwrap() if isinstance(result, Success) else result.failure()
    shown: str | None = inner._repr_html_() if hasattr(inner, "_repr_html_") else None
    return shown


def as_row(result: Result[Receipt, Problem] | Result[Report, Problem] | Report) -> dict[str, Any]:
    """Return a result as the row of a table, such as a DataFrame's.

    *outcome* is "delivered", "rejected", "unknown" or "invalid". A receipt's facts follow, or the
    kind of problem and its *detail*; what a row does not have is not in it. The row of a report has
    its name, how it has ended, its times and the columns of its ledger.
    """
    if isinstance(result, Report):
        return _reported(result)
    if isinstance(result, Failure):
        return _failed(result.failure())
    found = result.unwrap()
    return _reported(found) if isinstance(found, Report) else _delivered(found)


def _reported(report: Report) -> dict[str, Any]:
    return {
        "outcome": str(report.outcome),
        "name": report.name,
        "started": rfc3339(report.started_ns),
        "ended": rfc3339(report.ended_ns),
        **report.ledger.document(),
    }


def _delivered(receipt: Receipt) -> dict[str, Any]:
    place = None if receipt.place is None else str(receipt.place)
    optional = {"status": receipt.status, "place": place, "warnings": "; ".join(receipt.warnings)}
    return {
        "outcome": "delivered",
        "signal_type": receipt.signal_type,
        "timestamp": rfc3339(receipt.time_ns),
        "confirmed": str(receipt.confirmed),
        "tries": receipt.tries,
        "latency_us": receipt.latency_us,
        **{name: value for name, value in optional.items() if value not in (None, "")},
    }


def _failed(problem: Problem) -> dict[str, Any]:
    when = {"timestamp": rfc3339(problem.time_ns)} if isinstance(problem, OutcomeUnknown) else {}
    return {
        "outcome": _outcome(problem),
        **when,
        "problem": type(problem).__name__,
        "detail": str(problem),
    }


def _outcome(problem: Problem) -> str:
    match problem:
        case NotJson() | Malformed() | Invalid() | Forbidden():
            return "invalid"
        case Unreachable() | Refused() | DestinationBusy():
            return "rejected"
        case OutcomeUnknown():
            return "unknown"
        case _:
            assert_never(problem)
