"""Decimal texts of values."""

from __future__ import annotations

import pytest

from sonda.pipeline.encoders._numbers import decimal, decimals


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [
        (1.0, None, "1"),
        (0.1, None, "0.1"),
        (1e21, None, "1e+21"),
        (1e16, None, "1e+16"),
        (1e15, None, "1000000000000000"),
        (1e-05, None, "1e-05"),
        (-0.0, None, "-0"),
        (5e-324, None, "5e-324"),
        (1.7976931348623157e308, None, "1.7976931348623157e+308"),
        (10.0, None, "10"),
        (100.05, None, "100.05"),
        (100.0, 2, "100.00"),
        (100.0, 0, "100"),
        (99.60573, 2, "99.61"),
        (0.5, 0, "0"),
        (1.5, 0, "2"),
        (2.675, 2, "2.67"),  # the double is just below
        (-0.0, 1, "-0.0"),
        (-0.001, 2, "-0.00"),
        (5e-324, 17, "0.00000000000000000"),
        (0.1, 17, "0.10000000000000001"),
        (1e21, 1, "1000000000000000000000.0"),
        (1e300, None, "1e+300"),
        (-1.5, 3, "-1.500"),
    ],
)
def test_decimal(value: float, precision: int | None, text: str) -> None:
    """The shortest text that reads back, or exactly as many decimals; for many alike."""
    assert decimal(value, precision) == text
    assert decimals([value, value], precision) == [text, text]
