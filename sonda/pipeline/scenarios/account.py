"""Where one entry's events are: every change of a column of its ledger is made here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.scenarios.ledger import Latencies, Ledger, Problems, TickRanges, runs
from sonda.pipeline.scenarios.rate_meter import RateMeter

Noticed = Callable[[str], object]
"""Hears of the first problem of each text."""


class EntryCounts:
    """The columns of one entry; *handed_over* is the first tick that has not left the backlog."""

    def __init__(self, planned: int | None, noticed: Noticed) -> None:
        self.planned = planned
        self.handed_over = 0
        self.in_flight = 0
        self.problems = Problems()
        self.latencies = Latencies()
        self.meter = RateMeter()
        self.ticks: Mapping[str, TickRanges] = {
            name: TickRanges() for name in ("rejected", "unknown", "skipped")
        }
        self._noticed = noticed
        self._counts = dict.fromkeys(("delivered", *self.ticks), 0)
        self._bytes = self._pushes = 0

    @property
    def is_handed_over(self) -> bool:
        """Whether the whole plan has been handed over or skipped."""
        return self.handed_over == self.planned

    def ledger(self, due: int) -> Ledger:
        """Return the columns while *due* events should have been sent."""
        return Ledger(
            planned=self.planned,
            due=due,
            in_flight=self.in_flight,
            backlog=due - self.handed_over,
            bytes=self._bytes,
            pushes=self._pushes,
            **self._counts,
        )

    def hand_over(self, count: int) -> range:
        """Move the next *count* events from the backlog into flight; return their ticks."""
        ticks = range(self.handed_over, self.handed_over + count)
        self.handed_over = ticks.stop
        self.in_flight += count
        return ticks

    def skip(self, stop: int, text: str) -> None:
        """Skip what is not handed over and before tick *stop*."""
        if stop > self.handed_over:
            ticks = range(self.handed_over, stop)
            self.handed_over = stop
            self._count("skipped", text, ticks)

    def pushed(self, pushes: int, delivered_bytes: int) -> None:
        """Count attempts to send, and what of them was delivered."""
        self._pushes += pushes
        self._bytes += delivered_bytes

    def deliver(self, count: int, now_s: float, latencies: Iterable[tuple[float, int]]) -> None:
        """Note that *count* events in flight were delivered at loop time *now_s*."""
        self._counts["delivered"] += count
        self.in_flight -= count
        self.meter.add(now_s, count)
        for latency_s, shared in latencies:
            self.latencies.add(latency_s, shared)

    def close(self, column: str, text: str, ticks: Sequence[int]) -> None:
        """Count events in flight as not delivered, or skip them."""
        if ticks:
            self.in_flight -= len(ticks)
            self._count(column, text, ticks)

    def _count(self, column: str, text: str, ticks: Sequence[int]) -> None:
        self._counts[column] += len(ticks)
        for first, stop in runs(ticks):
            self.ticks[column].add(first, stop)
        if self.problems.add(text, ticks):
            self._noticed(text)


def text_of(problem: Problem) -> str:
    """Return a problem's text without what is different for each event."""
    if isinstance(problem, OutcomeUnknown):
        return f"sink error: no acknowledgement from {problem.target} {problem.reason}"
    return str(problem)


def never_left(problem: Problem) -> bool:
    """Return whether no byte of the event has left, with none of its tries, and one yet may."""
    return isinstance(problem, Unreachable) and not (problem.after_refusal or problem.is_final)
