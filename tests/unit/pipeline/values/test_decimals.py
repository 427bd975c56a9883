"""Decimals are read exactly."""

from __future__ import annotations

from decimal import Decimal

from sonda.pipeline.values.decimals import read_decimal


def test_every_digit_stays() -> None:
    """Far more than a double has."""
    assert read_decimal("0.10000000000000000000001") == Decimal("0.10000000000000000000001")


def test_an_exponent_beyond_all_is_no_number() -> None:
    """Nor is what has no digits."""
    for text in ("1e99999999999999999999", "x", ""):
        assert read_decimal(text).is_nan()
