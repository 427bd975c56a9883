"""What periodic shapes share: where in its period a time is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from sonda.pipeline.scenarios.generators import Parameters, Ratios
from sonda.pipeline.scenarios.schedule import Progression


def residues(x: Progression, period: Fraction) -> tuple[Sequence[int], int, int]:
    """Return x mod *period* for each tick, then the period itself, all over the third number."""
    below = lcm(x.denominator, period.denominator)
    scale = below // x.denominator
    whole = period.numerator * (below // period.denominator)
    first, step = x.numerator * scale, x.step * scale
    return [at % whole for at in range(first, first + len(x.ticks) * step, step)], whole, below


def over_one(numerators: Sequence[int], factor: Fraction, below: int, base: Fraction) -> Ratios:
    """Return base + factor · n / below for each of the numerators n."""
    common = lcm(base.denominator, factor.denominator * below)
    first = base.numerator * (common // base.denominator)
    times = factor.numerator * (common // (factor.denominator * below))
    return Ratios([first + times * numerator for numerator in numerators], common)


def ordered(parameters: Parameters) -> tuple[str, str] | None:
    """Check that `min` is at most `max`."""
    if parameters["min"] > parameters["max"]:
        return "min", "must be at most max"
    return None
