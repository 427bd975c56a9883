"""How a value is written where a format has no number syntax of its own to follow."""

from __future__ import annotations


def decimal(value: float, precision: int | None) -> str:
    """Write the shortest text that reads back as *value*, or exactly *precision* decimals."""
    if precision is None:
        return repr(value).removesuffix(".0")
    return f"{value:.{precision}f}"
