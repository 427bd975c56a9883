"""Sums of a ramp's values at the places of an arithmetic progression, in a logarithmic number of steps.

The ramp of *c* is R(y) = Σ max(0, y - m·c) over m = 0, 1, …. Its sum over y = a·i + b is one over the
points (i, m) of a triangle, and what is summed stays the same linear form while Euclid's algorithm
makes the triangle smaller.
Spec: R. L. Graham, D. E. Knuth, O. Patashnik, Concrete Mathematics, section 3.5
"""

from __future__ import annotations

from typing import NamedTuple


class _Step(NamedTuple):
    """A step of Euclid's algorithm: a = factor·c + rest; *squares* goes with the sum of i²."""

    factor: int
    rest: int
    c: int
    squares: int


class RampSums:
    """The sums of one ramp over progressions of one step; neither is negative, *c* is positive."""

    def __init__(self, a: int, c: int) -> None:
        self._steps: list[_Step] = []
        while c:
            factor, rest = divmod(a, c)
            self._steps.append(_Step(factor, rest, c, factor * (2 * rest + factor * c)))
            a, c = c, rest

    def total(self, count: int, b: int) -> int:
        """Return the sum of R(a·i + b) over i = 0 … count - 1; *b* is not negative."""
        doubled = 0
        for factor, rest, c, squares in self._steps:
            if not count:
                break
            last = count - 1
            line = count * last // 2
            if b >= c:  # what is above the first tooth of the ramp
                above, b = divmod(b, c)
                doubled += 2 * above * rest * line + above * count * (2 * b + c * (above + 1))
                doubled += 2 * factor * c * above * line
            if factor:
                doubled += line * (2 * last + 1) // 3 * squares + factor * line * (2 * b + c)
            top = (rest * last + b) // c
            doubled += (top + 1) * (2 * (rest * line + b * count) - c * count * top)
            count, b = top, c - b
        return doubled // 2
