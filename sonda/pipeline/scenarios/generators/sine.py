"""A sine wave around an offset."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import pi, sin
from typing import Final

from sonda.pipeline.scenarios.generators import Generator, Ratios
from sonda.pipeline.scenarios.generators._periodic import residues
from sonda.pipeline.scenarios.schedule import Progression

_TURN: Final = 2 * pi


@dataclass(frozen=True, slots=True)
class Sine:
    """offset + amplitude · sin(2πp), p the double nearest to (x mod period) / period."""

    amplitude: float
    period: Fraction
    offset: float

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows x
        part = float(x % self.period / self.period)
        return Fraction(self.offset + self.amplitude * sin(_TURN * part))

    def ratios(self, x: Progression) -> Ratios:
        pairs = [value.as_integer_ratio() for value in self.doubles(x)]
        below = max((denominator for _, denominator in pairs), default=1)  # powers of two
        return Ratios([above * (below // denominator) for above, denominator in pairs], below)

    def doubles(self, x: Progression) -> list[float]:
        offset, amplitude = self.offset, self.amplitude
        numerators, whole, _ = residues(x, self.period)
        return [offset + amplitude * sin(_TURN * (at / whole)) for at in numerators]

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # as above
        offset, height = Fraction(self.offset), abs(Fraction(self.amplitude))
        return offset - height, offset + height


GENERATOR: Final = Generator(
    lambda parameters, _: Sine(
        float(parameters["amplitude"]), parameters["period_secs"], float(parameters["offset"])
    )
)
