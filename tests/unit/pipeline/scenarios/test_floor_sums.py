"""Sums of floors equal those that are added one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.scenarios.floor_sums import floor_sums


@given(st.integers(-1, 60), st.integers(0, 500), st.integers(0, 500), st.integers(1, 90))
def test_it_is_the_sum(last: int, a: int, b: int, c: int) -> None:
    """Of f, i·f and f², for steep and flat lines alike."""
    floors = [(a * i + b) // c for i in range(last + 1)]
    weighted = sum(i * f for i, f in enumerate(floors))
    assert floor_sums(last, a, b, c) == (sum(floors), weighted, sum(f * f for f in floors))


def test_a_long_sum_takes_few_steps() -> None:
    """One over 10^18 terms, checked where it has a closed form."""
    last = 10**18
    total, weighted, squared = floor_sums(last, 3, 0, 1)
    assert total == 3 * last * (last + 1) // 2
    assert weighted == 3 * last * (last + 1) * (2 * last + 1) // 6
    assert squared == 9 * last * (last + 1) * (2 * last + 1) // 6
