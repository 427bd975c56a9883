"""Verdicts on a query say what was found."""

from __future__ import annotations

from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, NotSeen, QueryRefused, Seen


def test_verdicts_in_words() -> None:
    """Only those that a person reads have any."""
    assert str(Different("a", "b")) == 'found "b" at its time, expected "a"'
    assert str(Different("a", "b", "offset")) == 'found "b" at its offset, expected "a"'
    assert str(QueryRefused("500 X")) == "the query failed: 500 X"
    assert (Seen(), NotSeen()) == (SEEN, NOT_SEEN)
    assert not QueryRefused("429").is_final
