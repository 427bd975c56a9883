"""A counter that grows with each tick."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Final

from sonda.pipeline.scenarios.generators import Generator, Parameters, Ratios
from sonda.pipeline.scenarios.generators._periodic import over_one
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class Step:
    """start + tick · size; with a *span*, start + (tick · size mod span)."""

    start: Fraction
    size: Fraction
    span: Fraction | None

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows the tick
        grown = tick * self.size
        return self.start + (grown if self.span is None else grown % self.span)

    def ratios(self, x: Progression) -> Ratios:
        if self.span is None:
            return over_one(x.ticks, self.size, 1, self.start)
        below = lcm(self.size.denominator, self.span.denominator)
        size, span = int(self.size * below), int(self.span * below)
        grown = [tick * size % span for tick in x.ticks]
        return over_one(grown, Fraction(1), below, self.start)

    def doubles(self, x: Progression) -> list[float]:
        return self.ratios(x).doubles()

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:
        end = self.start + (self.size * ticks if self.span is None else self.span)
        return min(self.start, end), max(self.start, end)


def _build(parameters: Parameters) -> Step:
    start, most = parameters["start"], parameters.get("max")
    return Step(start, parameters["step_size"], None if most is None else most - start)


def _check(parameters: Parameters) -> tuple[str, str] | None:
    if "max" in parameters and parameters["max"] <= parameters["start"]:
        return "max", "must be above start"
    return None


GENERATOR: Final = Generator(lambda parameters, _: _build(parameters), _check)
