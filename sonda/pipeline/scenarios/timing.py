"""What an entry asks of the plan of its ticks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

from sonda.pipeline.scenarios.schedule import Progression


class Timing(Protocol):
    """When each tick is due, in seconds from the entry's start; pure, for any tick at once."""

    @property
    def planned(self) -> int | None:
        """How many ticks there are; `None` without an end."""
        ...

    @property
    def duration(self) -> Fraction | None:
        """When the entry ends by its duration, in seconds from its start."""
        ...

    @property
    def peak_rate(self) -> Fraction:
        """The highest rate, in ticks per second."""
        ...

    def due(self, tick: int) -> Fraction:
        """Return when *tick* is due."""
        ...

    def ticks_before(self, time_s: Fraction) -> int:
        """Return how many ticks are due before *time_s*; the inverse of `due`."""
        ...

    def target_rate(self, time_s: Fraction) -> Fraction:
        """Return the rate at *time_s*, in ticks per second."""
        ...

    def progressions(self, ticks: range) -> Iterator[Progression]:
        """Split *ticks*, whose step is 1, into stretches that are due at equal distances."""
        ...
