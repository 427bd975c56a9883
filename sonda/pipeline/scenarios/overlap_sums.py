"""For how long two cycles that share no short common one are on together, after any number of cycles.

The stretch that is on in a cycle begins at the phases of an arithmetic progression, modulo the other
cycle's length. What a cycle adds to the overlap is its mean, and a part whose sum over a progression
is Φ(last phase) - Φ(first phase): a sum over Euclid's algorithm of cubic polynomials in the phase
modulo each remainder. So there is nothing to count, however many cycles there were.
Spec: docs/adr/0018-overlap-of-cycles.md
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import gcd
from typing import Final, NamedTuple, TypeAlias

_TABULATED: Final = 1 << 10  # phases; a remainder of at most so many ends Euclid's algorithm here

_Four: TypeAlias = tuple[int, int, int, int]


class _Level(NamedTuple):
    """A remainder *c* of Euclid's algorithm, and its polynomials x·((square - 2·x)·x - linear).

    There is a *linear* for each of four phases; *inverse* is what they are multiplied with.
    """

    c: int
    square: int
    linear: _Four
    inverse: int

    def at(self, phase: int, linear: int) -> int:
        return phase * ((self.square - 2 * phase) * phase - linear) * self.inverse


class OverlapSums:
    """The overlap of what is on for *on_a* from the begin of each *a*, and for *on_c* of each *c*.

    All are integers, none is negative, *c* is positive, *on_a* is at most *a* and *on_c* at most *c*.
    """

    def __init__(self, a: int, on_a: int, c: int, on_c: int) -> None:
        common = gcd(a, c)
        self._a, self._c, self._common = a, c, common
        first, second, third, fourth = on_a, on_a - on_c, 0, -on_c
        self._starts: _Four = (first % c, second % c, third, fourth % c)
        self._squares = [6 * (x % common) * (common - x % common) for x in self._starts]
        one, two, three, four = self._squares
        self._mean = 12 * on_a * on_c + one - two - three + four  # over 12·c

    def total(self, count: int) -> int:
        """Return the overlap in the first *count* of the cycles *a*."""
        rounded = (self._at(count) - self._at_0) * self._c + (1 << self._bits - 1) >> self._bits
        return (count * self._mean + rounded) // (12 * self._c)

    @cached_property
    def _at_0(self) -> int:
        return self._at(0)

    def _at(self, count: int) -> int:
        """Return Φ after *count* cycles, summed over the four phases; times 12, over 2**`_bits`."""
        c, along = self._c, self._a * count
        one, two, three, four = self._starts
        one, two, three, four = (along + one) % c, (along + two) % c, along % c, (along + four) % c
        total = 0
        for c, square, (linear_1, linear_2, linear_3, linear_4), inverse in self._long:
            one, two, three, four = one % c, two % c, three % c, four % c
            total += (
                one * ((square - 2 * one) * one - linear_1)
                - two * ((square - 2 * two) * two - linear_2)
                - three * ((square - 2 * three) * three - linear_3)
                + four * ((square - 2 * four) * four - linear_4)
            ) * inverse
        c, tables = self._tables
        if c:
            common = self._common
            total += tables[0][one % c // common] - tables[1][two % c // common]
            total += tables[3][four % c // common] - tables[2][three % c // common]
        return total

    @cached_property
    def _remainders(self) -> Sequence[int]:
        """Those of Euclid's algorithm, but the last, which is 0."""
        found = [self._c]
        following = self._a % self._c
        while following:
            found.append(following)
            following = found[-2] % following
        return found

    @cached_property
    def _bits(self) -> int:
        """How many bits of a fraction are kept, so that the sum is rounded to the right integer.

        An inverse is wrong by a half at most, a polynomial less than 14·c³. There are two times
        four of them at each level, and c times their sum has to be right to a half.
        """
        return 4 * self._c.bit_length() + len(self._remainders).bit_length() + 7

    @cached_property
    def _levels(self) -> Sequence[_Level]:
        one, two, three, four = self._squares
        found, sign = [], 1
        for c, below in zip(self._remainders, self._remainders[1:], strict=False):
            linear = c * c + 3 * c * below + below * below - self._common**2
            inverse = sign * (((2 << self._bits) // (c * below) + 1) // 2)
            linears = (linear + one, linear + two, linear + three, linear + four)
            found.append(_Level(c, 3 * (c + below), linears, inverse))
            sign = -sign
        return found

    @cached_property
    def _long(self) -> Sequence[_Level]:
        return [one for one in self._levels if one.c > _TABULATED * self._common]

    @cached_property
    def _tables(self) -> tuple[int, Sequence[Sequence[int]]]:
        """The first remainder of which all phases are tabulated, and the sums of the levels from it on.

        There is a table for each of the four phases, with one entry for each phase that it can have.
        """
        short = self._levels[len(self._long) :]
        known: dict[int, list[int]] = {}
        for place, start in enumerate(self._starts):
            offset = start % self._common
            if offset not in known:
                known[offset] = self._tabulated(short, place, offset)
        tables = [known[start % self._common] for start in self._starts]
        return (short[0].c if short else 0), tables

    def _tabulated(self, short: Sequence[_Level], place: int, offset: int) -> list[int]:
        table = [0]
        for one in reversed(short):
            linear, period = one.linear[place], len(table)
            phases = range(offset, one.c, self._common)
            table = [
                one.at(phase, linear) + table[number % period]
                for number, phase in enumerate(phases)
            ]
        return table
