"""What an answer to a query proves of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sonda.pipeline.text.escape import quote


@dataclass(frozen=True, slots=True)
class Seen:
    """The event itself was found: its time, its labels, and its line or value."""


@dataclass(frozen=True, slots=True)
class NotSeen:
    """Nothing was found yet; another query may find it."""


@dataclass(frozen=True, slots=True)
class Different:
    """Where the event should be, by its time and labels or by its offset, is something else.

    The destination may have the event, too, a moment later. *where* says by what it was looked for.
    """

    expected: str
    found: str
    where: str = "time"

    def __str__(self) -> str:
        return f"found {quote(self.found)} at its {self.where}, expected {quote(self.expected)}"


@dataclass(frozen=True, slots=True)
class QueryRefused:
    """The query was answered with a no, or with what is no answer; *reason* quotes it.

    *is_final* is whether asking again is pointless.
    """

    reason: str
    is_final: bool = False

    def __str__(self) -> str:
        return f"the query failed: {self.reason}"


Verdict: TypeAlias = Seen | NotSeen | Different | QueryRefused

SEEN: Final = Seen()
NOT_SEEN: Final = NotSeen()
