"""The clock that gives events their time."""

from __future__ import annotations

import time
from collections.abc import Callable


def unique_clock(read_ns: Callable[[], int] = time.time_ns) -> Callable[[], int]:
    """Make a clock that never gives the same nanosecond twice: a tie moves one on.

    Loki keeps only one of two equal lines with equal times, so equal times would lose events.
    """
    last_ns = -1

    def now_ns() -> int:
        nonlocal last_ns
        last_ns = max(read_ns(), last_ns + 1)
        return last_ns

    return now_ns
