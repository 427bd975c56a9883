"""Rows of a file again: when each is due, and what it says."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Final, get_args, overload

from sonda.pipeline.encoders import LogValues
from sonda.pipeline.model import Severity
from sonda.pipeline.scenarios.generators import Ratios
from sonda.pipeline.scenarios.log_generators import Message
from sonda.pipeline.scenarios.numbers import NS_PER_S
from sonda.pipeline.scenarios.schedule import Progression, one_by_one

_LEVELS: Final[tuple[Severity, ...]] = get_args(Severity)


@dataclass(frozen=True)
class ReplaySchedule:
    """Row k mod n of the file is due with tick k, *timescale* times as fast as it was recorded.

    *times_ns* ascend from 0. A round begins the last interval after the end of the one before.
    """

    times_ns: Sequence[int] = field(repr=False)
    timescale: Fraction
    repeat: bool
    duration: Fraction | None = None
    count: int | None = None

    @cached_property
    def planned(self) -> int | None:
        """How many ticks there are; `None` without an end."""
        ends = [] if self.repeat else [len(self.times_ns)]
        if self.count is not None:
            ends.append(self.count)
        if self.duration is not None:
            ends.append(self._unlimited_before(self.duration))
        return min(ends, default=None)

    @cached_property
    def peak_rate(self) -> Fraction:
        """One tick in the shortest interval, in ticks per second."""
        times = self.times_ns
        shortest = min((times[k] - times[k - 1] for k in range(1, len(times))), default=NS_PER_S)
        return self._per_second / shortest

    def due(self, tick: int) -> Fraction:
        rounds, place = divmod(tick, len(self.times_ns))
        return (rounds * self._round_ns + self.times_ns[place]) / self._per_second

    def ticks_before(self, time_s: Fraction) -> int:
        if time_s <= 0:
            return 0
        before = self._unlimited_before(time_s)
        return before if self.planned is None else min(before, self.planned)

    def target_rate(self, time_s: Fraction) -> Fraction:
        """Return one tick in the interval around *time_s*."""
        if not self.repeat and time_s > self.due(len(self.times_ns) - 1):
            return Fraction(0)
        inside = time_s * self._per_second % self._round_ns
        place = bisect_right(self.times_ns, inside)
        ends = self.times_ns[place] if place < len(self.times_ns) else self._round_ns
        return self._per_second / (ends - self.times_ns[place - 1])

    def progressions(self, ticks: range) -> Iterator[Progression]:
        return one_by_one(ticks, self.due)

    @property
    def _per_second(self) -> Fraction:
        """Nanoseconds of the file in a second of the run."""
        return NS_PER_S * self.timescale

    @property
    def _round_ns(self) -> int:
        times = self.times_ns
        return times[-1] + (times[-1] - times[-2] if len(times) > 1 else NS_PER_S)

    def _unlimited_before(self, time_s: Fraction) -> int:
        inside = time_s * self._per_second
        until_ns = -(-inside.numerator // inside.denominator)
        if not self.repeat:
            return bisect_left(self.times_ns, until_ns)
        rounds, rest = divmod(until_ns, self._round_ns)
        return rounds * len(self.times_ns) + bisect_left(self.times_ns, rest)


@dataclass(frozen=True)
class ReplayedValues:
    """The numbers of a column, row k mod n at tick k."""

    values: Sequence[float] = field(repr=False)

    def exact(self, tick: int, x: Fraction) -> Fraction:  # noqa: ARG002  # it follows the tick
        return Fraction(self.values[tick % len(self.values)])

    def ratios(self, x: Progression) -> Ratios:
        pairs = [value.as_integer_ratio() for value in self.doubles(x)]
        below = max((denominator for _, denominator in pairs), default=1)  # powers of two
        return Ratios([above * (below // denominator) for above, denominator in pairs], below)

    def doubles(self, x: Progression) -> list[float]:
        count = len(self.values)
        return [self.values[tick % count] for tick in x.ticks]

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:  # noqa: ARG002  # all of them
        return Fraction(min(self.values)), Fraction(max(self.values))


class _Texts:
    """Many texts in one buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends: array[int] = array("q", [0])

    def add(self, text: str) -> None:
        self._buffer += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._buffer))

    def at(self, place: int) -> str:
        found = self._buffer[self._ends[place] : self._ends[place + 1]]
        return found.decode("utf-8", "surrogatepass")


class RowMessages(Sequence[Message]):
    """What the rows of a file say, each made when it is asked for; *fields* are their fields."""

    def __init__(self, fields: Iterable[str]) -> None:
        self._levels = bytearray()
        self._message = _Texts()
        self._fields = {name: _Texts() for name in fields}

    def add(self, severity: Severity, texts: Mapping[str, str]) -> None:
        """Add a row: its message, and its fields."""
        self._levels.append(_LEVELS.index(severity))
        self._message.add(texts["message"])
        for name, kept in self._fields.items():
            kept.add(texts[name])

    def __len__(self) -> int:
        return len(self._levels)

    @overload
    def __getitem__(self, place: int) -> Message: ...

    @overload
    def __getitem__(self, place: slice) -> list[Message]: ...

    def __getitem__(self, place: int | slice) -> Message | list[Message]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        severity = _LEVELS[self._levels[place]]
        said = {name: kept.at(place) for name, kept in self._fields.items()}
        return Message(severity, self._message.at(place), said)


@dataclass(frozen=True)
class ReplayedMessages:
    """The messages of a file, row k mod n at tick k."""

    messages: Sequence[Message] = field(repr=False)

    def at(self, tick: int, time_ns: int) -> Message:  # noqa: ARG002  # the rows know no stamp
        return self.messages[tick % len(self.messages)]

    def over(self, ticks: range, times_ns: Sequence[int]) -> LogValues:
        return LogValues.of(map(self.at, ticks, times_ns))
