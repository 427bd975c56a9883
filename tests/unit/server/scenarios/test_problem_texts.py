"""The problem of an event that is made again is its own."""

from __future__ import annotations

from sonda.pipeline.scenarios import ledger
from sonda.pipeline.scenarios.ledger import Problems
from sonda.server.scenarios.problem_texts import TextsOfTicks


def _texts(problems: Problems) -> TextsOfTicks:
    return TextsOfTicks([one.document() for one in problems.listed()])


def test_problems_that_take_turns() -> None:
    """Between the first and the last tick of one lie those of another."""
    problems = Problems()
    problems.add("even", [0, 2, 4, 6])
    problems.add("odd", [1, 3, 5])
    problems.add("rest", range(9, 12))
    texts = _texts(problems)
    shown = [texts.at(tick) for tick in range(13)]
    assert shown == [*(["even", "odd"] * 3), "even", "", "", "rest", "rest", "rest", ""]


def test_a_tick_that_was_not_kept_has_no_other_problems_text() -> None:
    problems = Problems()
    ticks = range(0, 4 * ledger.MOST_RANGES_OF_TEXT, 2)
    problems.add("even", list(ticks))
    texts = _texts(problems)
    assert texts.at(0) == "even"
    assert texts.at(ticks[-1]) == texts.at(1) == ""
