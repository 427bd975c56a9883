"""A ramp from `min` to `max` that begins again with each period."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sonda.pipeline.scenarios.generators import Generator, Ratios
from sonda.pipeline.scenarios.generators._periodic import ordered, over_one, residues
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class Sawtooth:
    """low + (x mod period) / period · (high - low)."""

    low: Fraction
    high: Fraction
    period: Fraction

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows x
        return self.low + x % self.period / self.period * (self.high - self.low)

    def ratios(self, x: Progression) -> Ratios:
        numerators, whole, _ = residues(x, self.period)
        return over_one(numerators, self.high - self.low, whole, self.low)

    def doubles(self, x: Progression) -> list[float]:
        return self.ratios(x).doubles()

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # as above
        return self.low, self.high


GENERATOR: Final = Generator(
    lambda parameters, _: Sawtooth(parameters["min"], parameters["max"], parameters["period_secs"]),
    ordered,
)
