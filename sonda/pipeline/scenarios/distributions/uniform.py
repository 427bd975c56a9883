"""Values spread evenly: min + p · (max - min)."""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm
from typing import Final

from sonda.pipeline.scenarios.distributions import LEVELS, Distribution
from sonda.pipeline.scenarios.generators import Parameters
from sonda.pipeline.scenarios.generators._periodic import ordered


def _levels(parameters: Parameters) -> Iterator[float]:
    low, span = parameters["min"], parameters["max"] - parameters["min"]
    below = lcm(low.denominator, span.denominator * 2 * LEVELS)
    first, step = int(low * below), int(span * below / (2 * LEVELS))
    return ((first + (2 * level + 1) * step) / below for level in range(LEVELS))


DISTRIBUTION: Final = Distribution(_levels, ordered)
