"""Which problem an event had, as the record of its run says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class TextsOfTicks:
    """The texts of an entry's problems, by tick. A tick has one problem at most."""

    def __init__(self, problems: Sequence[Mapping[str, Any]]) -> None:
        self._spans = sorted(span for problem in problems for span in _spans(problem))

    def at(self, tick: int) -> str:
        """Return the text of a tick; empty where more ranges of it were met than are kept."""
        place = bisect_right(self._spans, tick, key=lambda span: span[0]) - 1
        if place < 0 or self._spans[place][1] < tick:
            return ""
        return self._spans[place][2]


def _spans(problem: Mapping[str, Any]) -> Iterator[tuple[int, int, str]]:
    """Yield the first tick, the last one and the text of each range of a problem."""
    ranges = problem.get("ticks", [(problem["first_tick"], problem["last_tick"])])
    for first, last in ranges:
        yield first, last, problem["text"]
