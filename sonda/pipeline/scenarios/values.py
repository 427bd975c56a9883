"""The values of a metric: what its generator makes, and noise on it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Final

from sonda.pipeline.scenarios.draw import U_BITS, Draw
from sonda.pipeline.scenarios.generators import Ratios, Shape
from sonda.pipeline.scenarios.schedule import Progression

_HALF: Final = 1 << (U_BITS - 1)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a metric: a shape, and uniform noise in ± *jitter* on it."""

    shape: Shape
    jitter: Fraction
    noise: Draw

    def at(self, tick: int, x: Fraction) -> float:
        """Return the value of one tick, evaluated exactly and rounded once."""
        exact = self.shape.exact(tick, x)
        if self.jitter:
            exact += self.jitter * Fraction(self.noise.fraction(tick) - _HALF, _HALF)
        return float(exact)

    def over(self, x: Progression) -> list[float]:
        """Return the values of a stretch of ticks, equal to those of `at` to the last bit."""
        if not self.jitter:
            return self.shape.doubles(x)
        base = self.shape.ratios(x)
        below = lcm(base.denominator, self.jitter.denominator * _HALF)
        scale = below // base.denominator
        times = self.jitter.numerator * (below // (self.jitter.denominator * _HALF))
        drawn = self.noise.fractions(x.ticks)
        noisy = [
            value * scale + (fraction - _HALF) * times
            for value, fraction in zip(base.numerators, drawn, strict=True)
        ]
        return Ratios(noisy, below).doubles()
