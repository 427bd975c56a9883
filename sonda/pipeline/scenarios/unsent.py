"""Events that never left Sonda: they have no verdict, and are tried again after a growing wait."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from random import Random
from typing import Final

_FIRST_S: Final = 0.1
_LAST_S: Final = 5.0


class Unsent:
    """The ticks of such events, in order, and when they are tried again (times of the event loop)."""

    def __init__(self, random: Random) -> None:
        self.ticks: list[int] = []
        self.text = ""
        self.since_s: float | None = None
        """Since when nothing at all has left."""
        self.retry_at_s = 0.0
        self._random = random
        self._backoff_s = _FIRST_S

    def postpone(self, ticks: Sequence[int], text: str, handed_s: float, now_s: float) -> None:
        """Keep ticks; a try that was begun after the last wait makes the next one longer."""
        self.ticks = sorted([*self.ticks, *ticks])
        self.text = text
        if handed_s >= self.retry_at_s:
            self.retry_at_s = now_s + self._backoff_s * self._random.uniform(0.5, 1)
            self._backoff_s = min(2 * self._backoff_s, _LAST_S)

    def take(self, most: int) -> Sequence[int]:
        """Remove and return the first ticks."""
        taken, self.ticks = self.ticks[:most], self.ticks[most:]
        is_range = bool(taken) and taken[-1] - taken[0] == len(taken) - 1
        return range(taken[0], taken[-1] + 1) if is_range else taken

    def take_before(self, tick: int) -> Sequence[int]:
        """Remove and return the ticks before *tick*."""
        return self.take(bisect_left(self.ticks, tick))

    def note(self, has_left: bool, now_s: float) -> None:
        """Note whether anything of a group has left."""
        if has_left:
            self.since_s = None
            self._backoff_s = _FIRST_S
        elif self.since_s is None:
            self.since_s = now_s
