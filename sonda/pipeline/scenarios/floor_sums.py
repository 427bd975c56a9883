"""Sums of floors of an arithmetic progression, in a logarithmic number of steps.

Spec: R. L. Graham, D. E. Knuth, O. Patashnik, Concrete Mathematics, section 3.5
"""

from __future__ import annotations


def floor_sums(last: int, a: int, b: int, c: int) -> tuple[int, int, int]:
    """Return the sums over i = 0 … *last* of f, i·f and f², where f is ⌊(a·i + b) / c⌋.

    *a* and *b* are not negative, *c* is positive; *last* may be -1, for an empty sum.
    """
    if last < 0:
        return 0, 0, 0
    (steps, a), (base, b) = divmod(a, c), divmod(b, c)
    top = (a * last + b) // c
    total = weighted = squared = 0  # of what is left of f once *steps* and *base* are taken out
    if top:
        under, under_weighted, under_squared = floor_sums(top - 1, c, c - b - 1, a)
        total = last * top - under
        weighted = (top * last * (last + 1) - under_squared - under) // 2
        squared = last * top * (top + 1) - 2 * under_weighted - 2 * under - total
    if not steps and not base:
        return total, weighted, squared
    count, line = last + 1, last * (last + 1) // 2
    squares = line * (2 * last + 1) // 3
    return (
        total + steps * line + base * count,
        weighted + steps * squares + base * line,
        squared
        + steps * steps * squares
        + base * base * count
        + 2 * (steps * base * line + base * total + steps * weighted),
    )
