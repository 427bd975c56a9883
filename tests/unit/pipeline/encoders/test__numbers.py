"""Decimal texts of values."""

from __future__ import annotations

import pytest

from sonda.pipeline.encoders._numbers import decimal, decimals


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [
        (1.0, None, "1"),
        (0.1, None, "0.1"),
        (-0.0, None, "-0"),
        (1e300, None, "1e+300"),
        (1.0, 0, "1"),
        (2.675, 2, "2.67"),  # the double is just below
        (-1.5, 3, "-1.500"),
    ],
)
def test_decimal(value: float, precision: int | None, text: str) -> None:
    """The shortest text that reads back, or exactly as many decimals; for many alike."""
    assert decimal(value, precision) == text
    assert decimals([value, value], precision) == [text, text]
