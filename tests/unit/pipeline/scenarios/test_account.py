"""Each change of a column is made in one place, and the columns add up at any time."""

from __future__ import annotations

from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable
from sonda.pipeline.scenarios.account import EntryCounts, never_left, text_of


def test_an_events_way_through_the_columns() -> None:
    """From the backlog into flight, and from there to its verdict."""
    noticed: list[str] = []
    counts = EntryCounts(10, noticed.append)
    assert counts.ledger(4).document()["backlog"] == 4
    assert counts.hand_over(3) == range(3)
    assert counts.ledger(4).document()["in_flight"] == 3
    counts.deliver(1, 1000.0, [(0.5, 1)])
    counts.close("rejected", "no", [1])
    counts.close("unknown", "lost", [2])
    counts.close("unknown", "lost", [])
    counts.skip(5, "late")
    counts.skip(5, "late")
    counts.pushed(2, 99)
    ledger = counts.ledger(6)
    assert (ledger.delivered, ledger.rejected, ledger.unknown, ledger.skipped) == (1, 1, 1, 2)
    assert (ledger.in_flight, ledger.backlog, ledger.not_due) == (0, 1, 4)
    assert (ledger.pushes, ledger.bytes) == (2, 99)
    assert noticed == ["no", "lost", "late"]
    assert [list(counts.ticks[name]) for name in ("rejected", "unknown", "skipped")] == [
        [range(1, 2)],
        [range(2, 3)],
        [range(3, 5)],
    ]


def test_the_whole_plan_is_handed_over() -> None:
    """Sent or skipped; without an end it never is."""
    counts, endless = EntryCounts(3, print), EntryCounts(None, print)
    counts.hand_over(2)
    assert not counts.is_handed_over
    counts.skip(3, "late")
    assert counts.is_handed_over
    endless.hand_over(100)
    assert not endless.is_handed_over


def test_a_text_is_one_for_all_events() -> None:
    """The time of the event that had it first is left out."""
    texts = {text_of(OutcomeUnknown("a:1", "within 10s", time_ns)) for time_ns in range(3)}
    assert texts == {"sink error: no acknowledgement from a:1 within 10s"}
    assert text_of(Refused("a", "400 X")) == "sink error: a answered 400 X"


def test_what_never_left() -> None:
    """Has no verdict, and is tried again."""
    assert never_left(Unreachable("connect", "Connection refused"))
    assert not never_left(Unreachable("connect", "Connection refused", after_refusal=True))
    assert not never_left(Unreachable("write to a", "No space left on device", is_final=True))
    assert not never_left(OutcomeUnknown("a", "(Broken pipe)", 0))
    assert not never_left(Refused("a", "500 X"))
