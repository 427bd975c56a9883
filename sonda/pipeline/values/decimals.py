"""Decimal numbers read exactly, whatever their exponent."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def read_decimal(text: str) -> Decimal:
    """Return the number that *text* writes; not a number where its exponent is beyond a `Decimal`'s."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")
