"""Values from a list, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Final

from sonda.pipeline.scenarios.generators import Generator, Ratios
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class Sequence:
    """values[tick mod n], or the last one for good where it does not *repeat*."""

    values: tuple[Fraction, ...]
    repeat: bool

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows the tick
        return self.values[self._place(tick)]

    def ratios(self, x: Progression) -> Ratios:
        below = lcm(*{value.denominator for value in self.values})
        values = [value.numerator * (below // value.denominator) for value in self.values]
        return Ratios([values[self._place(tick)] for tick in x.ticks], below)

    def doubles(self, x: Progression) -> list[float]:
        return [float(self.values[self._place(tick)]) for tick in x.ticks]

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # all of them
        return min(self.values), max(self.values)

    def _place(self, tick: int) -> int:
        count = len(self.values)
        return tick % count if self.repeat else min(tick, count - 1)


GENERATOR: Final = Generator(
    lambda parameters, _: Sequence(tuple(parameters["values"]), parameters["repeat"])
)
