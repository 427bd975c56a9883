"""Overlaps of two cycles equal those that are added up one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonda.pipeline.scenarios import overlap_sums
from sonda.pipeline.scenarios.overlap_sums import OverlapSums


def _on(time: int, c: int, on_c: int) -> int:
    """Return for how long the cycle *c* was on before *time*."""
    return time // c * on_c + min(time % c, on_c)


def _added_up(count: int, a: int, on_a: int, c: int, on_c: int) -> int:
    begins = range(0, a * count, a)
    return sum(_on(begin + on_a, c, on_c) - _on(begin, c, on_c) for begin in begins)


@st.composite
def _cycles(draw: st.DrawFn, most: int, common: int) -> tuple[int, int, int, int]:
    """Draw two cycles, whose lengths may have a factor in common, and for how long each is on."""
    factor = draw(st.integers(1, common))
    a, c = (factor * draw(st.integers(1, most)) for _ in range(2))
    return a, draw(st.integers(0, a)), c, draw(st.integers(0, c))


@pytest.mark.parametrize("tabulated", [0, 3, 1 << 10])
@settings(max_examples=200, deadline=None)
@given(_cycles(90, 40), st.integers(0, 70))
def test_it_is_the_sum(tabulated: int, cycles: tuple[int, int, int, int], count: int) -> None:
    """With and without tables of the phases, whatever the lengths have in common."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(overlap_sums, "_TABULATED", tabulated)
        assert OverlapSums(*cycles).total(count) == _added_up(count, *cycles)


@settings(max_examples=200, deadline=None)
@given(_cycles(10**12, 10**4), st.integers(0, 10**15), st.integers(0, 20))
def test_far_away_it_grows_by_what_each_cycle_adds(
    cycles: tuple[int, int, int, int], count: int, more: int
) -> None:
    """Also where the numbers are as large as nanoseconds of a year make them."""
    a, on_a, c, on_c = cycles
    found = OverlapSums(*cycles)
    begins = range(a * count, a * (count + more), a)
    added = sum(_on(begin + on_a, c, on_c) - _on(begin, c, on_c) for begin in begins)
    assert found.total(count + more) - found.total(count) == added


@settings(max_examples=200, deadline=None)
@given(_cycles(10**12, 10**4), st.integers(0, 10**15))
def test_both_cycles_agree(cycles: tuple[int, int, int, int], rounds: int) -> None:
    """Up to a common end the overlap of one with the other is that of the other with it."""
    a, on_a, c, on_c = cycles
    there, back = OverlapSums(a, on_a, c, on_c), OverlapSums(c, on_c, a, on_a)
    assert there.total(rounds * c) == back.total(rounds * a)


def test_what_is_on_at_random_meets_in_its_share() -> None:
    """Periods of the golden ratio, whose phases are spread evenly: 10^18 of them."""
    share = Fraction(OverlapSums(10**9, 10**8, 1_618_033_989, 10**9).total(10**18), 10**26)
    assert abs(share - Fraction(10**9, 1_618_033_989)) < Fraction(1, 10**16)
