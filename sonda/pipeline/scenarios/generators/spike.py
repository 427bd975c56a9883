"""A baseline, and a spike at the begin of each interval."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sonda.pipeline.scenarios.generators import Generator, Ratios
from sonda.pipeline.scenarios.generators._periodic import over_one, residues
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class Spike:
    """baseline + magnitude while x mod interval < duration, else baseline.

    A spike that lasts for the whole interval or longer never ends.
    """

    baseline: Fraction
    magnitude: Fraction
    duration: Fraction
    interval: Fraction

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows x
        return self.baseline + (self.magnitude if x % self.interval < self.duration else 0)

    def ratios(self, x: Progression) -> Ratios:
        return over_one(self._raised(x), self.magnitude, 1, self.baseline)

    def doubles(self, x: Progression) -> list[float]:
        values = (float(self.baseline), float(self.baseline + self.magnitude))
        return [values[raised] for raised in self._raised(x)]

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # as above
        ends = (self.baseline, self.baseline + self.magnitude)
        return min(ends), max(ends)

    def _raised(self, x: Progression) -> list[bool]:
        numerators, _, below = residues(x, self.interval)
        above, under = self.duration.numerator * below, self.duration.denominator
        return [at * under < above for at in numerators]


GENERATOR: Final = Generator(
    lambda parameters, _: Spike(
        parameters["baseline"],
        parameters["magnitude"],
        parameters["duration_secs"],
        parameters["interval_secs"],
    )
)
