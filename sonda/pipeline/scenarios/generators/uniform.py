"""Values drawn evenly from a range, each tick anew."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sonda.pipeline.scenarios.draw import U_BITS, Draw
from sonda.pipeline.scenarios.generators import Generator, Ratios
from sonda.pipeline.scenarios.generators._periodic import ordered, over_one
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class Uniform:
    """low + u · (high - low), u drawn in [0, 1)."""

    low: Fraction
    high: Fraction
    draw: Draw

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows the tick
        return self.low + Fraction(self.draw.fraction(tick), 1 << U_BITS) * (self.high - self.low)

    def ratios(self, x: Progression) -> Ratios:
        drawn = self.draw.fractions(x.ticks)
        return over_one(drawn, self.high - self.low, 1 << U_BITS, self.low)

    def doubles(self, x: Progression) -> list[float]:
        return self.ratios(x).doubles()

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # as above
        return self.low, self.high


GENERATOR: Final = Generator(
    lambda parameters, draw: Uniform(parameters["min"], parameters["max"], draw), ordered
)
