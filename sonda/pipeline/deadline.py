"""The one deadline of a delivery."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

_MILLISECOND_S: Final = 0.001
LONGEST_S: Final = 30 * 86_400.0  # event loops cannot count to the "9999999h" that a user may write

TIMER_RESOLUTION_S: Final = 0.001
"""uvloop's: a timer may come early by as much."""


class Deadline(Struct, frozen=True):
    """An instant on the event loop's clock, and the span in seconds that led up to it."""

    at_s: float
    span_s: float

    @classmethod
    def within(
        cls, span_s: float, until_s: float | None = None, now_s: float | None = None
    ) -> Deadline:
        """Start a deadline: *span_s* from *now_s*, or at loop time *until_s* if that is sooner."""
        if now_s is None:
            now_s = asyncio.get_running_loop().time()
        span_s = min(span_s, LONGEST_S)
        if until_s is not None:
            span_s = max(0.0, min(span_s, until_s - now_s))
        return cls(now_s + span_s, span_s)

    def left_s(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at_s - asyncio.get_running_loop().time()

    def __str__(self) -> str:
        if 0 < self.span_s < _MILLISECOND_S:
            return f"{f'{self.span_s:.9f}'.rstrip('0')}s"
        return f"{round(self.span_s, 3):g}s"
