"""Observations are dealt: each value once a deal, and any stretch of them at once."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonda.pipeline.scenarios.dealing import Dealer, Levels
from sonda.pipeline.scenarios.distributions import LEVELS
from sonda.pipeline.scenarios.draw import draw

DEALER = Dealer(draw(3, "entry", "observations"))
ALL = [*DEALER._order(0), *DEALER._order(1), *DEALER._order(2)]
OF = Levels([level / 8 for level in range(LEVELS)])
PLACES = st.integers(0, 3 * LEVELS - 1)


def test_each_deal_has_every_level_once() -> None:
    """In an order of its own."""
    first, second = ALL[:LEVELS], ALL[LEVELS : 2 * LEVELS]
    assert sorted(first) == sorted(second) == list(range(LEVELS))
    assert first != second != sorted(second)


def test_the_rule_is_frozen() -> None:
    """People keep seeds: the first levels of this one are what they were."""
    again = Dealer(draw(3, "entry", "observations"))
    assert list(again._order(0)[:8]) == ALL[:8]
    assert again._order(5) == DEALER._order(5)
    assert Dealer(draw(4, "entry", "observations"))._order(0) != again._order(0)


@settings(max_examples=15, deadline=None)
@given(PLACES, PLACES, st.lists(st.integers(0, LEVELS), max_size=4).map(sorted))
def test_a_stretch_is_its_observations(one: int, other: int, limits: list[int]) -> None:
    """Their number, their sum, how many are below a limit, and which one has a rank."""
    first, stop = sorted((one, other))
    dealt, expected = DEALER.dealt(first, stop), sorted(ALL[first:stop])
    assert dealt.count == stop - first
    assert Fraction(dealt.numerator(OF), OF.denominator) == sum(map(Fraction, expected)) / 8
    assert dealt.below(limits) == [sum(level < limit for level in expected) for limit in limits]
    for rank in {1, stop - first} if first < stop else ():
        assert dealt.ranked(rank) == expected[rank - 1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, LEVELS - 1), PLACES)
def test_how_often_a_level_was_there(level: int, stop: int) -> None:
    """Before any observation, without dealing those before it."""
    assert DEALER.occurrences(level, stop) == Counter(ALL[:stop])[level]


@pytest.mark.parametrize(
    ("bound", "count"),
    [
        (Fraction(0), 1),
        (Fraction(-1, 10**30), 0),
        (Fraction(1, 8), 2),
        (Fraction(1, 8) - Fraction(1, 10**30), 1),
        (Fraction(10**400), LEVELS),
        (Fraction(-(10**400)), 0),
    ],
)
def test_values_up_to_a_bound(bound: Fraction, count: int) -> None:
    """Exactly, also where no double is the bound."""
    assert OF.up_to(bound) == count


def test_exact_sums() -> None:
    """Over one denominator, a power of 2."""
    assert OF.denominator == 8
    assert Fraction(OF.total, 8) == sum(map(Fraction, OF.values))
    assert Levels([-3.0, 1.0]).largest == 3
