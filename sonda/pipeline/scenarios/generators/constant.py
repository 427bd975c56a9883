"""The same value at every tick."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sonda.pipeline.scenarios.generators import Generator, Ratios
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class Constant:
    """*value* at every tick."""

    value: Fraction

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it does not change
        return self.value

    def ratios(self, x: Progression) -> Ratios:
        return Ratios([self.value.numerator] * len(x.ticks), self.value.denominator)

    def doubles(self, x: Progression) -> list[float]:
        return [float(self.value)] * len(x.ticks)

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # as above
        return self.value, self.value


GENERATOR: Final = Generator(lambda parameters, _: Constant(parameters["value"]))
