"""Observations of a histogram or a summary, dealt like cards: the totals of any tick at once.

Each `LEVELS` observations in a row take every value that stands for the distribution once, in a
drawn order. So what all of them together add to a bucket or to the sum is known without dealing
them, and only the last, begun deal has to be worked through. The rule is frozen
(docs/adr/0012-draws.md), as the draws are.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Final

from sonda.pipeline.scenarios.distributions import LEVELS
from sonda.pipeline.scenarios.draw import Draw


@dataclass(frozen=True)
class Levels:
    """The values that stand for a distribution, ascending."""

    values: Sequence[float]

    @cached_property
    def denominator(self) -> int:
        """Over it every value is an integer: a power of 2."""
        return max(value.as_integer_ratio()[1] for value in self.values)

    @cached_property
    def numerators(self) -> Sequence[int]:
        """The values, exactly, over `denominator`."""
        below = self.denominator
        ratios = map(float.as_integer_ratio, self.values)
        return [above * (below // under) for above, under in ratios]

    @cached_property
    def total(self) -> int:
        """The sum of all values, over `denominator`."""
        return sum(self.numerators)

    @property
    def largest(self) -> Fraction:
        """The largest distance of a value from 0."""
        return max(abs(Fraction(self.values[0])), abs(Fraction(self.values[-1])))

    def up_to(self, bound: Fraction) -> int:
        """Return how many of the values are at most *bound*."""
        above, below = bound.numerator, bound.denominator
        try:
            nearest = above / below
        except OverflowError:
            return LEVELS if above > 0 else 0
        place = bisect_right(self.values, nearest)
        while place and self.numerators[place - 1] * below > above * self.denominator:
            place -= 1  # the nearest double was above the bound
        return place


@dataclass(frozen=True, slots=True)
class Dealt:
    """What a stretch of observations has: *whole* deals, and the *levels* of the rest."""

    whole: int
    levels: Sequence[int]

    @property
    def count(self) -> int:
        return self.whole * LEVELS + len(self.levels)

    def numerator(self, of: Levels) -> int:
        """Return the sum of the values, over the levels' `denominator`."""
        return self.whole * of.total + sum(map(of.numerators.__getitem__, self.levels))

    def below(self, limits: Sequence[int]) -> list[int]:
        """Return for each of the ascending *limits* how many levels are below it."""
        ordered = sorted(self.levels)
        return [self.whole * limit + bisect_right(ordered, limit - 1) for limit in limits]

    def ranked(self, rank: int) -> int:
        """Return the level of this rank from 1 on."""
        ordered = sorted(self.levels)
        return bisect_right(
            range(LEVELS),
            rank - 1,
            key=lambda level: self.whole * (level + 1) + bisect_right(ordered, level),
        )


@dataclass(frozen=True, slots=True)
class Deal:
    """The drawn order of the levels in one deal: a Feistel network over two halves of six bits.

    Each round has a drawn table of what is added to one half for each value of the other.
    """

    tables: Sequence[bytes]

    def order(self) -> array[int]:
        """Return the level of each place."""
        left, right = _LEFT, _RIGHT
        for table in self.tables:
            left, right = right, _xor(left, right.translate(table))
        words = bytearray(2 * LEVELS)
        words[_LOWER::2] = _or(left.translate(_LOWER_BITS), right)
        words[1 - _LOWER :: 2] = left.translate(_UPPER_BITS)
        return array("H", bytes(words))

    def place(self, level: int) -> int:
        """Return the place of a level; the inverse of `order`, for one."""
        left, right = level >> _HALF_BITS, level & _LOW_BITS
        for table in reversed(self.tables):
            left, right = right ^ table[left], left
        return left << _HALF_BITS | right


_HALF_BITS: Final = 6
_LOW_BITS: Final = (1 << _HALF_BITS) - 1
_LEFT: Final = bytes(place >> _HALF_BITS for place in range(LEVELS))
_RIGHT: Final = bytes(place & _LOW_BITS for place in range(LEVELS))
_LOW: Final = bytes(byte & _LOW_BITS for byte in range(256))
_LOWER: Final = 0 if sys.byteorder == "little" else 1  # where the lower byte of a word stands
_LOWER_BITS: Final = bytes(byte << _HALF_BITS & 0xFF for byte in range(256))  # of a level: its byte
_UPPER_BITS: Final = bytes(byte >> 8 - _HALF_BITS for byte in range(256))
_ROUNDS: Final = 8


def _xor(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return both.to_bytes(LEVELS, "little")


def _or(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return both.to_bytes(LEVELS, "little")


@dataclass(frozen=True)
class Dealer:
    """Deals the observations of one series."""

    draw: Draw
    _kept: dict[int, array[int]] = field(default_factory=dict, repr=False, compare=False)

    _begun: dict[int, Deal] = field(default_factory=dict, repr=False, compare=False)

    def dealt(self, first: int, stop: int) -> Dealt:
        """Return the observations from number *first* up to *stop*."""
        begin, end = first // LEVELS, stop // LEVELS
        if begin == end:
            levels = self._order(begin)[first % LEVELS : stop % LEVELS] if first < stop else ()
            return Dealt(0, levels)
        levels = array("H")
        whole = end - begin
        if first % LEVELS:
            levels.extend(self._order(begin)[first % LEVELS :])
            whole -= 1
        if stop % LEVELS:
            levels.extend(self._order(end)[: stop % LEVELS])
        return Dealt(whole, levels)

    def occurrences(self, level: int, stop: int) -> int:
        """Return how often a level is among the observations before number *stop*."""
        deals, begun = divmod(stop, LEVELS)
        return deals + (begun > 0 and self._deal(deals).place(level) < begun)

    def _deal(self, number: int) -> Deal:
        if number in self._begun:
            return self._begun[number]
        blocks = range(number * _ROUNDS, (number + 1) * _ROUNDS)
        found = Deal([self.draw.block(block).translate(_LOW) * 4 for block in blocks])
        self._begun.clear()
        self._begun[number] = found
        return found

    def _order(self, number: int) -> array[int]:
        found = self._kept.get(number)
        if found is None:
            found = self._deal(number).order()
            self._kept.clear()  # ticks come in their order: one is enough
            self._kept[number] = found
        return found
