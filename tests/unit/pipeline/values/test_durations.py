"""Durations as users write them."""

from __future__ import annotations

import pytest

from sonda.pipeline.values.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("500ms", 0.5), ("10s", 10.0), ("1.5m", 90.0), ("1h", 3600.0), ("0s", 0.0), ("00.50s", 0.5)],
)
def test_a_number_and_its_unit(text: str, expected_s: float) -> None:
    """Fractions are allowed in each unit."""
    assert seconds(text) == expected_s


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-1s", "+1s", "1 s", "1e3s", ".5s", "5.s", "1s1s", "1d", "\u0661s", "1s\n"],
)
def test_what_is_no_duration(text: str) -> None:
    """One number and one unit, in ASCII, and nothing around them."""
    with pytest.raises(ValueError, match="expected a duration such as"):
        seconds(text)


@pytest.mark.parametrize(
    "text", ["0.0000000001s", "0." + "0" * 400 + "1h", "0" * 400 + ".0000000001ms"]
)
def test_above_zero_is_a_nanosecond_at_least(text: str) -> None:
    """A double may have no room for it; none the less it is no zero."""
    assert seconds(text) == 1e-9


@pytest.mark.parametrize("text", ["0s", "0.000h", "000ms"])
def test_zero(text: str) -> None:
    """Zero stays zero."""
    assert seconds(text) == 0
