"""Judges in turn: what both accept, and whose objection comes first."""

from __future__ import annotations

import httpx
import pytest

from sonda.pipeline.net.http_verdict import (
    Accepted,
    HttpAnswer,
    Judge,
    Rejected,
    Unreadable,
    Verdict,
    judge_in_turn,
    status_is_enough,
)

ANSWER = HttpAnswer(200, httpx.Headers(), b"")
NO, BLUR = Rejected("but rejected the event"), Unreadable("it is cut off")


def saying(verdict: Verdict) -> Judge:
    return lambda _answer, _events: verdict


def test_a_status_alone() -> None:
    """Nothing else is asked."""
    assert status_is_enough(ANSWER, 5) == Accepted()


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (Accepted("a"), Accepted("b"), Accepted("b")),
        (Accepted(), NO, NO),
        (NO, BLUR, NO),
        (BLUR, Accepted(), BLUR),
    ],
)
def test_in_turn(first: Verdict, second: Verdict, verdict: Verdict) -> None:
    """The second is asked only where the first has no objection."""
    assert judge_in_turn(saying(first), saying(second))(ANSWER, 1) == verdict
