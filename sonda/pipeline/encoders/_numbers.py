"""How a value is written where a format has no number syntax of its own to follow."""

from __future__ import annotations

from collections.abc import Sequence


def decimal(value: float, precision: int | None) -> str:
    """Write the shortest text that reads back as *value*, or exactly *precision* decimals."""
    if precision is None:
        return repr(value).removesuffix(".0")
    return f"{value:.{precision}f}"


def decimals(values: Sequence[float], precision: int | None) -> list[str]:
    """Write each of many values as `decimal` does."""
    if precision is None:
        return [text.removesuffix(".0") for text in map(repr, values)]
    return [f"{value:.{precision}f}" for value in values]
