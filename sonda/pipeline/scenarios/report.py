"""What a run has come to, and how far one has got: for programs, terminals and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from sonda.pipeline.scenarios.ledger import EMPTY, Ledger, ProblemCount
from sonda.pipeline.scenarios.report_card import report_card
from sonda.pipeline.scenarios.segments import PlanSegment
from sonda.pipeline.scenarios.states import Outcome, State
from sonda.pipeline.text.cards import Shown
from sonda.pipeline.values.timestamps import rfc3339


@dataclass(frozen=True, slots=True)
class EntryProgress:
    """One entry at one moment; rates are events per second, *latency_ms* runs from when one was due."""

    id: str
    name: str
    state: State
    outcome: Outcome | None
    ledger: Ledger
    target_rate: float
    last_1s: float
    last_10s: float
    lag_s: float
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    problems: tuple[ProblemCount, ...] = ()
    ticks: Mapping[str, tuple[range, ...]] = field(default_factory=dict)
    """The ticks of rejected, unknown and skipped events, as ranges."""
    truncated: bool = False
    """Whether there were more ranges than are kept."""
    segments: tuple[PlanSegment, ...] = ()
    """Those of its plan, where that was changed on the way."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        rate = {"target": self.target_rate, "last_1s": self.last_1s, "last_10s": self.last_10s}
        ticks = {
            name: [[part.start, part.stop - 1] for part in ranges]
            for name, ranges in self.ticks.items()
            if ranges
        }
        return {
            "id": self.id,
            "name": self.name,
            "state": str(self.state),
            "outcome": None if self.outcome is None else str(self.outcome),
            "ledger": self.ledger.document(),
            "rate": rate,
            "lag_s": self.lag_s,
            "latency_ms": dict(self.latency_ms),
            "problems": [problem.document() for problem in self.problems],
            **({"ticks": ticks} if ticks else {}),
            **({"truncated": True} if self.truncated else {}),
            **({"segments": [one.document() for one in self.segments]} if self.segments else {}),
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at one moment, *elapsed_s* after its start."""

    name: str
    state: State
    elapsed_s: float
    entries: tuple[EntryProgress, ...]

    @property
    def ledger(self) -> Ledger:
        """The columns of all entries together."""
        return total([entry.ledger for entry in self.entries])

    @property
    def lag_s(self) -> float:
        """How late the oldest event of all entries is."""
        return max((entry.lag_s for entry in self.entries), default=0.0)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a chart of a run has of one moment."""

    elapsed_s: float
    target_rate: float
    rate: float
    lag_s: float
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Report(Shown):
    """A finished run: every event of its plan is in one column of the ledger."""

    name: str
    outcome: Outcome
    started_ns: int
    ended_ns: int
    entries: tuple[EntryProgress, ...]
    history: tuple[Moment, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def ledger(self) -> Ledger:
        """The columns of all entries together."""
        return total([entry.ledger for entry in self.entries])

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "state": str(State.FINISHED),
            "outcome": str(self.outcome),
            "started": rfc3339(self.started_ns),
            "ended": rfc3339(self.ended_ns),
            "ledger": self.ledger.document(),
            "scenarios": [entry.document() for entry in self.entries],
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }

    def __str__(self) -> str:
        span_s = (self.ended_ns - self.started_ns) / 1e9
        lines = [f"{self.name}: {self.outcome} after {span_s:.1f} s: {self.ledger}"]
        if len(self.entries) > 1:
            lines += [f"  {entry.id}: {entry.ledger}" for entry in self.entries]
        for entry in self.entries:
            lines += [f"  {entry.id}: {one.count:,} times {one.text}" for one in entry.problems]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return report_card(self)


def total(ledgers: Sequence[Ledger]) -> Ledger:
    """Return the sum of ledgers."""
    return reduce(add, ledgers, EMPTY)
