"""What histograms and summaries observe: one module each, its file name is its wire name.

A distribution is cut into `LEVELS` equally likely parts; the middle of each, by probability, is the
value that stands for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from sonda.pipeline.scenarios.generators import Parameters

LEVELS: Final = 4096
"""How many values stand for a distribution."""
MIDDLES: Final = array("d", [(2 * level + 1) / (2 * LEVELS) for level in range(LEVELS)])
"""The part of all values that is below each of them; exact."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution. *levels* returns its `LEVELS` values, ascending.

    *check* returns a parameter's name and what is wrong with it. `levels` raises `OverflowError`
    where a value is beyond the range of a double.
    """

    levels: Callable[[Parameters], Iterable[float]]
    check: Callable[[Parameters], tuple[str, str] | None] = lambda _: None


def load(name: str) -> Distribution:
    """Import the distribution *name*."""
    found: Distribution = import_module(f"{__name__}.{name}").DISTRIBUTION
    return found
