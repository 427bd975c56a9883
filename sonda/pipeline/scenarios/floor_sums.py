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
    count, line = last + 1, last * (last + 1) // 2
    squares = line * (2 * last + 1) // 3
    if a >= c or b >= c:
        (steps, a), (base, b) = divmod(a, c), divmod(b, c)
        plain, weighted, squared = floor_sums(last, a, b, c)
        return (
            plain + steps * line + base * count,
            weighted + steps * squares + base * line,
            squared
            + steps * steps * squares
            + base * base * count
            + 2 * (steps * base * line + base * plain + steps * weighted),
        )
    top = (a * last + b) // c
    if top == 0:
        return 0, 0, 0
    plain, weighted, squared = floor_sums(top - 1, c, c - b - 1, a)
    total = last * top - plain
    return (
        total,
        (top * last * count - squared - plain) // 2,
        last * top * (top + 1) - 2 * weighted - 2 * plain - total,
    )
