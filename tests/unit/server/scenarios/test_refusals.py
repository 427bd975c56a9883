"""How a call is refused."""

from __future__ import annotations

import pytest

from sonda.pipeline.problems import Forbidden, NotJson, OutcomeUnknown, Problem
from sonda.server.scenarios.refusals import AnswerLost, Refusal


@pytest.mark.parametrize(
    ("problem", "status"),
    [(NotJson("x"), 400), (Forbidden("x", "y"), 403), (OutcomeUnknown("t", "r", 1), 504)],
)
def test_a_problem_keeps_its_status_and_its_text(problem: Problem, status: int) -> None:
    """As `/events` would answer it."""
    refusal = Refusal.of(problem)
    assert (refusal.status, str(refusal)) == (status, str(problem))


def test_an_answer_that_is_lost_is_a_refusal_of_its_own() -> None:
    """What was asked for may have been done: whoever catches it first can look."""
    lost = AnswerLost(503, "gone")
    assert isinstance(lost, Refusal)
    assert not isinstance(Refusal(503, "gone"), AnswerLost)
