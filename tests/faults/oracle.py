"""What was asked and answered, held against what a destination knows of itself.

The rules are the contract's:

- 200: the destination said yes to exactly these bytes (tcp, stdout and file: it has them);
- 502 that quotes the destination's answer: it said no, to each try, and never yes;
- any other 502: it has seen no byte of the event;
- 504: the detail names destination and timestamp; nothing more is known;
- nothing is there that was not sent, and nothing twice that was sent once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from .ledger import Row

NAME: Final = re.compile(rb"ev-[0-9a-f]{4}-[0-9]{6}")
_NOT_FOUND: Final = "a 200 without a yes"
_REFUSAL: Final = re.compile(r"sink error: \S+ answered ")


class Outcome(StrEnum):
    """What Sonda has said of an event."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    NEVER_SENT = "never sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of `POST /events`."""

    status: int
    document: Any

    @property
    def outcome(self) -> Outcome:
        """Read what it promises; any other status is none that an event in this test can get."""
        detail = self.document.get("detail", "")
        if self.status == 200:
            assert self.document["sent"] is True
            return Outcome.DELIVERED
        if self.status == 504:
            return Outcome.UNKNOWN
        assert self.status == 502, f"{self.status} {detail}"
        return Outcome.REFUSED if _REFUSAL.match(detail) else Outcome.NEVER_SENT


@dataclass(frozen=True, slots=True)
class Sent:
    """An event: its name, which its bytes contain, and how it must arrive.

    *tries* is the most that the sink may make. A *huge* one does not vanish in the buffers between
    a program and a peer that does not read.
    """

    name: str
    timestamp: str
    arrives: Hashable
    document: dict[str, Any]
    tries: int = 1
    huge: bool = False


@dataclass
class Truth:
    """What a destination knows: what it has read whole, and what it said to that.

    *glimpsed* are the names of events of which it has read any byte at all.
    """

    accepted: Counter[Hashable] = field(default_factory=Counter)
    refused: Counter[Hashable] = field(default_factory=Counter)
    unanswered: Counter[Hashable] = field(default_factory=Counter)
    glimpsed: set[str] = field(default_factory=set)
    fired: int = 0

    def glimpse(self, received: bytes) -> None:
        """Note which events something that was read names."""
        self.glimpsed.update(name.decode() for name in NAME.findall(received))

    @property
    def whole(self) -> Counter[Hashable]:
        """All that has been read whole."""
        return self.accepted + self.refused + self.unanswered


@dataclass
class Oracle:
    """Everything that was sent in one run of a row, with its answer."""

    truth: Truth
    asked: list[tuple[Sent, Answer]] = field(default_factory=list)

    def note(self, sent: Sent, answer: Answer) -> None:
        """Write an answer down."""
        self.asked.append((sent, answer))

    def row(self) -> Row:
        """Count."""
        outcomes = Counter(answer.outcome for _, answer in self.asked)
        whole = self.truth.whole
        return Row(
            fired=self.truth.fired,
            events=len(self.asked),
            delivered=outcomes[Outcome.DELIVERED],
            rejected=outcomes[Outcome.REFUSED] + outcomes[Outcome.NEVER_SENT],
            unknown=outcomes[Outcome.UNKNOWN],
            found=sum(whole[sent.arrives] > 0 for sent, _ in self.asked),
        )

    @property
    def sent(self) -> set[Hashable]:
        """All that may be there."""
        return {sent.arrives for sent, _ in self.asked}

    def broken(
        self, allowed: Iterable[Outcome] = Outcome, *, target: str = "", loses: bool = False
    ) -> list[str]:
        """List every promise that was not kept.

        *allowed* are the outcomes a fault can have. One that *loses* what the operating system has
        taken asks for no proof of a yes, but for a huge event's.
        """
        possible = set(allowed)
        broken = [
            text
            for sent, answer in self.asked
            for text in self._lies(sent, answer, target)
            if not (loses and text.startswith(_NOT_FOUND) and not sent.huge)
        ]
        return broken + [
            f"{sent.name} cannot be {answer.outcome}: {answer.document}"
            for sent, answer in self.asked
            if answer.outcome not in possible
        ]

    def strangers(self, others: set[Hashable]) -> list[str]:
        """List what is there and was never sent, by us or as one of the *others*."""
        found = self.truth.whole.keys() - self.sent - others
        return [f"never sent: {arrived!r:.300}" for arrived in found]

    def _lies(self, sent: Sent, answer: Answer, target: str) -> Iterator[str]:
        truth, detail = self.truth, answer.document.get("detail", "")
        accepted = truth.accepted[sent.arrives]
        match answer.outcome:
            case Outcome.DELIVERED if not accepted:
                yield f"{_NOT_FOUND}: {sent.name} {self._traces(sent)}"
            case Outcome.REFUSED if (
                accepted or truth.unanswered[sent.arrives] > 0 or not truth.refused[sent.arrives]
            ):
                yield f"{sent.name} got {detail!r}: {self._traces(sent)}"
            case Outcome.NEVER_SENT if sent.name in truth.glimpsed:
                yield f"{sent.name} got {detail!r}, but was seen: {self._traces(sent)}"
            case Outcome.UNKNOWN if (
                f"no acknowledgement from {target}" not in detail
                or f"(timestamp {sent.timestamp})" not in detail
            ):
                yield f"{sent.name}: the 504 names neither {target} nor {sent.timestamp}: {detail}"
        if accepted > sent.tries:
            yield f"{sent.name} was accepted {accepted} times, in {sent.tries} tries"

    def _traces(self, sent: Sent) -> str:
        truth, arrives = self.truth, sent.arrives
        return (
            f"accepted {truth.accepted[arrives]} times, refused {truth.refused[arrives]}, "
            f"unanswered {truth.unanswered[arrives]}, glimpsed {sent.name in truth.glimpsed}"
        )
