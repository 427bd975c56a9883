"""Sums of ramps equal those that are added one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.scenarios.ramp_sums import RampSums


@given(st.integers(0, 60), st.integers(0, 500), st.integers(0, 500), st.integers(1, 90))
def test_it_is_the_sum(count: int, a: int, b: int, c: int) -> None:
    """Of what the ramp has at each place, for steep and flat lines alike."""
    places = [a * i + b for i in range(count)]
    values = [sum(range(y, 0, -c)) for y in places]
    assert RampSums(a, c).total(count, b) == sum(values)


def test_a_long_sum_takes_few_steps() -> None:
    """One over 10^18 terms, checked where it has a closed form: R(y) = y·(y + 1) / 2 for c = 1."""
    count = 10**18
    squares = 9 * (count - 1) * count * (2 * count - 1) // 6
    assert RampSums(3, 1).total(count, 0) == (squares + 3 * count * (count - 1) // 2) // 2
