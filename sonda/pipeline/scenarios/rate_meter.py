"""How many events a second were delivered lately."""

from __future__ import annotations

from collections import deque
from typing import Final

_SLOT_S: Final = 0.1
_SLOTS: Final = 101


class RateMeter:
    """Counts in slots of a tenth of a second, of the last ten seconds."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque(maxlen=_SLOTS)

    def add(self, now_s: float, count: int) -> None:
        """Count *count* events at loop time *now_s*."""
        slot = int(now_s / _SLOT_S)
        if self._slots and self._slots[-1][0] == slot:
            count += self._slots.pop()[1]
        self._slots.append((slot, count))

    def rate(self, now_s: float, span_s: float) -> float:
        """Return the events per second of the last *span_s* seconds."""
        slot = int(now_s / _SLOT_S)
        first = slot - round(span_s / _SLOT_S)
        counted = sum(count for at, count in self._slots if first < at <= slot)
        return round(counted / span_s, 3)
