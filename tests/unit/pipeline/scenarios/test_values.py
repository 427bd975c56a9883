"""A metric's values: one by one and many at once, with and without noise."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.scenarios.schedule import Progression
from sonda.pipeline.scenarios.values import Values
from tests.unit.pipeline.scenarios.support import compiled, metric

SHAPES: dict[str, dict[str, Any]] = {
    "constant": {"type": "constant", "value": 0.1},
    "sine": {"type": "sine", "amplitude": 3, "offset": 1, "period_secs": 7},
    "step": {"type": "step", "step_size": 0.3, "max": 2},
    "sequence": {"type": "sequence", "values": [1, -2.5, 1e300]},
}


def values(shape: dict[str, Any], jitter: float) -> Values:
    [entry] = compiled(metric(generator=shape, jitter=jitter)).unwrap().entries
    assert isinstance(entry.content, Values)
    return entry.content


@pytest.mark.parametrize("shape", SHAPES)
@given(first=st.integers(0, 10**6), count=st.integers(0, 20), jitter=st.sampled_from([0, 0.1, 7]))
def test_many_equal_those_one_by_one(shape: str, first: int, count: int, jitter: float) -> None:
    """To the last bit, wherever the stretch begins."""
    made = values(SHAPES[shape], jitter)
    x = Progression(range(first, first + count), first, 1, 3)
    assert made.over(x) == [made.at(tick, Fraction(tick, 3)) for tick in x.ticks]


@given(tick=st.integers(0, 10**9))
def test_noise_stays_within_its_bounds(tick: int) -> None:
    """It is in ± jitter, and drawn by the tick alone."""
    made = values(SHAPES["constant"], 0.5)
    value = made.at(tick, Fraction(0))
    assert -0.4 <= value <= 0.6
    assert value == made.at(tick, Fraction(tick))
