"""Values around a mean: mean + stddev · z, z of the standard normal distribution."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Final

from sonda.pipeline.scenarios.distributions import MIDDLES, Distribution
from sonda.pipeline.scenarios.generators import Parameters

_STANDARD: Final = NormalDist()


def _levels(parameters: Parameters) -> Iterator[float]:
    mean, stddev = float(parameters["mean"]), float(parameters["stddev"])
    return (mean + stddev * _STANDARD.inv_cdf(part) for part in MIDDLES)


DISTRIBUTION: Final = Distribution(_levels)
