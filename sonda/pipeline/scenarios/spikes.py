"""Labels that are there for a while in each cycle, with many values: spikes of cardinality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import TypeAlias

from sonda.pipeline.scenarios.draw import Draw
from sonda.pipeline.scenarios.generators._periodic import residues
from sonda.pipeline.scenarios.schedule import Progression


@dataclass(frozen=True, slots=True)
class LabelSpike:
    """A label that is there while x mod *every* < *length*; its value follows the tick.

    Value number k mod *cardinality* is that number, or, where there is a *draw*, a drawn word.
    """

    label: str
    every: Fraction
    length: Fraction
    cardinality: int
    prefix: str
    draw: Draw | None = None

    def value(self, tick: int) -> str:
        """Return the value at *tick*."""
        number = tick % self.cardinality
        return f"{self.prefix}{number if self.draw is None else f'{self.draw.word(number):016x}'}"

    def is_there(self, x: Fraction) -> bool:
        """Return whether the label is there at *x*, in seconds from the entry's start."""
        return x % self.every < self.length

    def presence(self, x: Progression) -> list[bool]:
        """Return for each tick whether the label is there."""
        places, _, below = residues(x, self.every)
        above, under = self.length.numerator * below, self.length.denominator
        return [at * under < above for at in places]


Spikes: TypeAlias = tuple[LabelSpike, ...]


def spiked_sets(spikes: Spikes, turning: int) -> Iterator[tuple[Sequence[LabelSpike], int]]:
    """Yield which spikes may be there together, and after how many ticks their labels come again.

    The labels that are always there come again after *turning* ticks.
    """
    for size in range(len(spikes) + 1):
        for there in combinations(spikes, size):
            yield there, lcm(turning, *(one.cardinality for one in there))


def count_series(spikes: Spikes, turning: int, most: int) -> int:
    """Return how many label sets there may be; not much more than *most* is counted."""
    count = 0
    for _, cycle in spiked_sets(spikes, turning):
        count += cycle
        if count > most:
            break
    return count
