"""What the aliases of a sawtooth share."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from sonda.pipeline.scenarios.generators._periodic import ordered, over_one
from sonda.pipeline.scenarios.generators._ramp import ramp, rises

LOW, HIGH = Fraction(1), Fraction(5, 2)


def test_the_sawtooth_of_a_ramp() -> None:
    """A baseline is its minimum, a ceiling its maximum, and the time named its period."""
    given: dict[str, Any] = {"baseline": LOW, "ceiling": HIGH, "time_to_ceiling": Fraction(60)}
    assert ramp(given, "time_to_ceiling") == {"min": LOW, "max": HIGH, "period_secs": 60}


@pytest.mark.parametrize(
    ("first", "second", "ok"), [(LOW, HIGH, True), (LOW, LOW, True), (HIGH, LOW, False)]
)
def test_bounds_in_order(first: Fraction, second: Fraction, ok: bool) -> None:
    """The field that is named is the one that must be lower."""
    refused = rises({"baseline": first, "ceiling": second})
    assert refused == (None if ok else ("baseline", "must be at most ceiling"))
    refused = ordered({"min": first, "max": second})
    assert refused == (None if ok else ("min", "must be at most max"))


def test_ratios_are_exact() -> None:
    """The result is base + factor · n / below, over one denominator."""
    ratios = over_one([0, 1, 5], Fraction(2, 3), 7, Fraction(1, 2))
    values = [Fraction(numerator, ratios.denominator) for numerator in ratios.numerators]
    assert values == [Fraction(1, 2) + Fraction(2, 3) * n / 7 for n in (0, 1, 5)]
