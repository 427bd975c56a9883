"""Where a run is, how it has ended, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WINDOW: Final = 2000
DRAIN_S: Final = 10.0


class State(StrEnum):
    """Where an entry or a run is."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How a finished run has ended; what its verdicts were is another question."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How much may be in flight, and how long a stop waits for it."""

    window: int = WINDOW
    drain_s: float = DRAIN_S


@dataclass(frozen=True, slots=True)
class Shard:
    """One of *count* parts of a plan; *index* counts from 0."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
