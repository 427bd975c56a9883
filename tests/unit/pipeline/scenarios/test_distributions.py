"""Each distribution is cut into equally likely parts, whose middles stand for it."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import log
from typing import Any

import pytest

from sonda.pipeline.scenarios import distributions
from sonda.pipeline.scenarios.distributions import LEVELS, MIDDLES
from sonda.pipeline.scenarios.numbers import fraction
from sonda.pipeline.schemas.registry import GENERATORS

PARAMETERS: dict[str, dict[str, Any]] = {
    "exponential": {"rate": fraction(4)},
    "normal": {"mean": fraction(10), "stddev": fraction(2)},
    "uniform": {"min": fraction(-1), "max": fraction(3)},
}


def levels(name: str) -> list[float]:
    return list(distributions.load(name).levels(PARAMETERS[name]))


@pytest.mark.parametrize("name", PARAMETERS)
def test_levels_ascend(name: str) -> None:
    """As many as a deal has, none twice: they are searched by halving."""
    found = levels(name)
    assert len(found) == LEVELS
    assert all(one < other for one, other in pairwise(found))


def test_all_are_known() -> None:
    """Those of the schemas are those that are tested here."""
    assert {*PARAMETERS} == {*GENERATORS["distribution"]}


def test_where_the_middles_are() -> None:
    """The median, and the mean, are those of the distribution."""
    assert (MIDDLES[0], MIDDLES[-1]) == (1 / 8192, 8191 / 8192)
    exponential, normal, uniform = map(levels, ("exponential", "normal", "uniform"))
    half = LEVELS // 2
    assert exponential[half - 1] < log(2) / 4 < exponential[half]
    assert sum(exponential) / LEVELS == pytest.approx(0.25, rel=1e-3)
    assert normal[half - 1] + normal[half] == pytest.approx(20)
    assert sum(map(Fraction, uniform)) / LEVELS == 1  # exact: no level is rounded


def test_what_is_wrong_with_a_range() -> None:
    """A minimum above the maximum is named by its parameter."""
    check = distributions.load("uniform").check
    assert check({"min": fraction(2), "max": fraction(1)}) is not None
    assert check(PARAMETERS["uniform"]) is None
