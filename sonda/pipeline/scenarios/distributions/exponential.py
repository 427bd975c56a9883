"""Many small values and few large ones: -ln(1 - p) / rate."""

from __future__ import annotations

from collections.abc import Iterator
from math import log1p
from typing import Final

from sonda.pipeline.scenarios.distributions import MIDDLES, Distribution
from sonda.pipeline.scenarios.generators import Parameters


def _levels(parameters: Parameters) -> Iterator[float]:
    rate = float(parameters["rate"])
    return (-log1p(-part) / rate for part in MIDDLES)


DISTRIBUTION: Final = Distribution(_levels)
