"""Numbers and durations are exact: no rounding enters a plan."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.scenarios.numbers import as_number, ceil_ns, fraction, is_exact, seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, Fraction(1, 10)),
        (Decimal("0.30"), Fraction(3, 10)),
        (3, Fraction(3)),
        (1e-7, Fraction(1, 10_000_000)),
        (2**70, Fraction(2**70)),
    ],
)
def test_the_decimal_text_counts(value: float | Decimal, expected: Fraction) -> None:
    """A tenth is a tenth, and not the double beside it."""
    assert is_exact(value)
    assert fraction(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        float("nan"),
        Decimal("NaN"),
        Decimal("1e310"),
        Decimal("1e-401"),
        Decimal("0." + "1" * 1001),
        2**1025,
    ],
)
def test_what_cannot_be_computed_with(value: float | Decimal) -> None:
    """It is infinite, none, or so long that work would never end."""
    assert not is_exact(value)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("500ms", Fraction(1, 2)),
        ("0.1s", Fraction(1, 10)),
        ("1.5h", Fraction(5400)),
        ("2d", Fraction(172_800)),
        ("0ms", Fraction(0)),
    ],
)
def test_a_duration(text: str, expected_s: Fraction) -> None:
    """Of a scenario it may have days."""
    assert seconds(text) == expected_s


@pytest.mark.parametrize("text", ["", "1", "-1s", "1 s", "1w", "1" * 1001 + "s", "1s1s"])
def test_what_is_no_duration(text: str) -> None:
    """One number and one unit."""
    with pytest.raises(ValueError, match="expected a duration such as"):
        seconds(text)


@given(st.fractions(0, 10**12))
def test_a_time_is_rounded_up(time_s: Fraction) -> None:
    """An event is never due before its time."""
    found = ceil_ns(time_s)
    assert found - 1 < time_s * 10**9 <= found


def test_an_integer_stays_one() -> None:
    """As JSON would write it."""
    assert as_number(Fraction(6, 2)) == 3
    assert isinstance(as_number(Fraction(6, 2)), int)
    assert as_number(Fraction(1, 3)) == 1 / 3
