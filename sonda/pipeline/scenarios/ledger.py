"""What has become of every scheduled event: columns that always add up.

Spec of the columns: docs/scenarios.md
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from operator import add, attrgetter
from typing import Any, Final

MOST_RANGES: Final = 10_000
MOST_TEXTS: Final = 100
MOST_RANGES_OF_TEXT: Final = 1000


@dataclass(frozen=True, slots=True)
class Ledger:
    """The columns at one moment; raises `ValueError` where they do not add up.

    *planned* is `None` without an end. *bytes* are those of delivered events, *pushes* the attempts
    to send a group.
    """

    planned: int | None
    due: int
    delivered: int = 0
    rejected: int = 0
    unknown: int = 0
    skipped: int = 0
    in_flight: int = 0
    backlog: int = 0
    bytes: int = 0
    pushes: int = 0

    def __post_init__(self) -> None:
        verdicts = self.delivered + self.rejected + self.unknown + self.skipped
        adds_up = self.due == verdicts + self.in_flight + self.backlog
        in_plan = self.planned is None or self.due <= self.planned
        if not adds_up or not in_plan or min(_counts(self)) < 0:
            raise ValueError(f"the columns do not add up: {self}")

    @property
    def not_due(self) -> int | None:
        """How many events are planned and not due yet; `None` without an end."""
        return None if self.planned is None else self.planned - self.due

    def document(self) -> dict[str, int | None]:
        """Return the columns as JSON has them."""
        counts = dict(zip(_COUNTS, _counts(self), strict=True))
        return {"planned": self.planned, "not_due": self.not_due, **counts}

    def __add__(self, other: Ledger) -> Ledger:
        planned = (
            None if self.planned is None or other.planned is None else self.planned + other.planned
        )
        return Ledger(planned, *map(add, _counts(self), _counts(other)))

    def __str__(self) -> str:
        shown = [f"{name} {value:,}" for name, value in self.document().items() if value]
        return ", ".join(shown) or "nothing is due"


# Every run's ledger is written once a second: `asdict` would take ten times as long.
_COUNTS: Final = tuple(one.name for one in fields(Ledger) if one.name != "planned")
_counts: Final[Callable[[Ledger], tuple[int, ...]]] = attrgetter(*_COUNTS)

EMPTY: Final = Ledger(0, 0)


class TickRanges:
    """A set of ticks, as ranges; beyond *most* (`MOST_RANGES`) what does not touch one is left out."""

    __slots__ = ("_most", "_starts", "_stops", "truncated")

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_RANGES if most is None else most
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.truncated = False

    def add(self, first: int, stop: int) -> None:
        """Add the ticks from *first* up to *stop*, which are in no range yet."""
        place = bisect_left(self._starts, first)
        joins_before = place > 0 and self._stops[place - 1] == first
        joins_after = place < len(self._starts) and self._starts[place] == stop
        if joins_before and joins_after:
            self._stops[place - 1] = self._stops.pop(place)
            self._starts.pop(place)
        elif joins_before:
            self._stops[place - 1] = stop
        elif joins_after:
            self._starts[place] = first
        elif len(self._starts) < self._most:
            self._starts.insert(place, first)
            self._stops.insert(place, stop)
        else:
            self.truncated = True

    def __iter__(self) -> Iterator[range]:
        return map(range, self._starts, self._stops)

    def __len__(self) -> int:
        return len(self._starts)


def runs(ticks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of ascending *ticks* without gaps, each as first and stop."""
    if isinstance(ticks, range) and ticks.step == 1:
        if ticks:
            yield ticks.start, ticks.stop
        return
    first = ticks[0] if ticks else 0
    for before, after in pairwise(ticks):
        if after != before + 1:
            yield first, before + 1
            first = after
    if ticks:
        yield first, ticks[-1] + 1


@dataclass(frozen=True, slots=True)
class ProblemCount:
    """How often a text was said of an event, and of which ticks first and last."""

    text: str
    count: int
    first_tick: int
    last_tick: int
    ticks: tuple[tuple[int, int], ...] = ()
    """Which they were, first and last of each range; as many as are kept."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it; without ranges where all from first to last are meant."""
        document = asdict(self)
        del document["ticks"]
        is_whole = self.count == self.last_tick - self.first_tick + 1
        return document if is_whole else {**document, "ticks": [list(one) for one in self.ticks]}


OTHER_PROBLEMS: Final = "other problems"


class Problems:
    """A count per text; beyond `MOST_TEXTS` texts the rest is counted together."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._ticks: dict[str, TickRanges] = {}
        self._ends: dict[str, tuple[int, int]] = {}

    def add(self, text: str, ticks: Sequence[int]) -> bool:
        """Count *text* for ascending *ticks*; return whether it is new."""
        if text not in self._counts and len(self._counts) >= MOST_TEXTS:
            text = OTHER_PROBLEMS
        is_new = text not in self._counts
        first, last = self._ends.get(text, (ticks[0], ticks[-1]))
        self._ends[text] = min(first, ticks[0]), max(last, ticks[-1])
        self._counts[text] = self._counts.get(text, 0) + len(ticks)
        ranges = self._ticks.setdefault(text, TickRanges(MOST_RANGES_OF_TEXT))
        for begin, stop in runs(ticks):
            ranges.add(begin, stop)
        return is_new

    def __len__(self) -> int:
        return len(self._counts)

    def listed(self) -> tuple[ProblemCount, ...]:
        """Return all counts, the texts in the order in which they were first said."""
        return tuple(
            ProblemCount(text, count, *self._ends[text], as_pairs(self._ticks[text]))
            for text, count in self._counts.items()
        )


def as_pairs(ranges: TickRanges) -> tuple[tuple[int, int], ...]:
    """Return the first and the last tick of each range."""
    return tuple((part.start, part.stop - 1) for part in ranges)


class Latencies:
    """A bounded sketch of latencies: within 1 % of the true percentiles, the maximum exact."""

    _BINS: Final = 2048
    _ACCURACY: Final = 0.01

    def __init__(self) -> None:
        from ddsketch import LogCollapsingLowestDenseDDSketch

        self._sketch: Any = LogCollapsingLowestDenseDDSketch(self._ACCURACY, self._BINS)
        self._max_s = 0.0
        self._is_empty = True

    def add(self, latency_s: float, count: int) -> None:
        """Count a latency *count* times."""
        self._sketch.add(max(0.0, latency_s * 1000), count)
        self._max_s = max(self._max_s, latency_s)
        self._is_empty = False

    def document(self) -> Mapping[str, float | None]:
        """Return p50, p99 and the maximum in milliseconds; `None` before the first one."""
        if self._is_empty:
            return {"p50": None, "p99": None, "max": None}
        quantile = self._sketch.get_quantile_value
        most = self._max_s * 1000
        shown = {f"p{rank}": round(float(min(quantile(rank / 100), most)), 3) for rank in (50, 99)}
        return {**shown, "max": round(most, 3)}
