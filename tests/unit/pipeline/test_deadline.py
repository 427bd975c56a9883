"""How a deadline is put into words."""

from __future__ import annotations

import pytest

from sonda.pipeline.deadline import Deadline


@pytest.mark.parametrize(
    ("span_s", "text"),
    [
        (0.0, "0s"),
        (1e-9, "0.000000001s"),
        (0.0001, "0.0001s"),
        (0.00025, "0.00025s"),
        (0.001, "0.001s"),
        (0.2, "0.2s"),
        (10.0, "10s"),
    ],
)
def test_a_deadline_in_words(span_s: float, text: str) -> None:
    """A short one is not rounded to nothing."""
    assert str(Deadline(1.0, span_s)) == text
