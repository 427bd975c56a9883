"""Bounded memoization for values that depend only on the destination, not on the event."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, Final, ParamSpec, TypeVar

Written = TypeVar("Written", str, bytes)
P = ParamSpec("P")
R = TypeVar("R")

MEMOIZED: Final = 512
LONGEST_MEMOIZED: Final = 8192  # the texts of one cache take 4 MiB at most


def memoize(
    step: Callable[Concatenate[Written, P], R],
) -> Callable[Concatenate[Written, P], R]:
    """Return *step*, a pure function of a text, with its latest results kept, those of long texts not."""
    keeping: Callable[..., R] = lru_cache(MEMOIZED)(step)

    @wraps(step)
    def remembering(text: Written, /, *args: P.args, **kwargs: P.kwargs) -> R:
        keeps = len(text) <= LONGEST_MEMOIZED
        return (keeping if keeps else step)(text, *args, **kwargs)

    return remembering
