"""What leaves together: entries of a queue, the groups they wait in, and the batches they leave in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Final, TypeAlias

from msgspec import Struct, field, structs
from returns.result import Failure, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt, AttemptFailure
from sonda.pipeline.model import Payload
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable

SINGLY: Final = 8
"""Of a refused push up to so many events go again one by one, which takes the fewest turns."""

StreamOf: TypeAlias = Callable[[Payload], Hashable]


@dataclass(frozen=True, slots=True)
class StepNames:
    """How problems call a destination, and the steps there: `TCP connect to a:1`."""

    target: str
    connect: str
    write: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """The most that one push combines: events, their bytes, and different streams among them.

    *stream_of* tells which stream an event belongs to. With *one_each* a push has one event of a
    stream at most, and the next one waits until that has its verdict. At most *pushes* are under way
    at a time: with one, all that a destination gets keeps its order. A push that *is_answered* is
    under way for a while. One that is not (tcp) may be over at once, so a queue waits for the end
    of the loop's turn: otherwise each event of the turn would leave in a write of its own.
    """

    events: int
    size_bytes: int | None = None
    pushes: int | None = None
    streams: int | None = None
    stream_of: StreamOf | None = None
    one_each: bool = False
    is_answered: bool = True


class Group(Struct, eq=False, weakref=True):
    """Entries that wait together: one future, *done* when each has its outcome.

    *without_outcome* is how many have none yet, *since_ns* the `perf_counter_ns` at which they were put.
    """

    done: asyncio.Future[None]
    without_outcome: int
    since_ns: int = field(default_factory=perf_counter_ns)
    entries: list[Entry] = []

    def fail(self, exc: Exception) -> None:
        """Raise a bug of ours where the group is awaited."""
        if not self.done.done():
            self.done.set_exception(exc)

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of each entry, in their order; each must have one."""
        return [entry.outcome for entry in self.entries if entry.outcome is not None]


class Entry(Struct, eq=False):
    """An event in the queue, until its outcome is known."""

    payload: Payload
    deadline: Deadline
    stream: Hashable
    group: Group | None  # until nobody waits for it any more
    batch: Batch | None = None
    part: object = None  # of a batch that was refused: it goes again with this half alone
    may_be_stored: bool = False  # by a destination that refused such a batch
    outcome: Outcome | None = None

    @property
    def has_left(self) -> bool:
        """Return whether a byte of it has left the program."""
        return self.part is not None or (self.batch is not None and self.batch.attempt.has_left)

    @property
    def connected(self) -> bool:
        """Return whether its batch has got a connection."""
        return self.batch is not None and self.batch.attempt.connected

    def set_result(self, outcome: Outcome) -> None:
        """Set what has become of it, unless its deadline was faster."""
        if self.outcome is not None:
            return
        self.outcome = outcome if isinstance(outcome, Success) else outcome.alt(self._own)
        if (group := self.group) is not None:
            group.without_outcome -= 1
            if not group.without_outcome and not group.done.done():
                group.done.set_result(None)

    def fail(self, exc: Exception) -> None:
        """Raise a bug of ours where its outcome is awaited."""
        if self.outcome is None and self.group is not None:
            self.group.fail(exc)

    def _own(self, failure: AttemptFailure) -> AttemptFailure:
        """Return the failure with what is this event's own: its time, and what it came to in a batch."""
        problem = failure.problem
        if isinstance(problem, OutcomeUnknown):
            problem = replace(problem, time_ns=self.payload.event.time_ns)
        elif self.part is not None and isinstance(problem, Refused | Unreachable):
            problem = replace(problem, may_be_stored=problem.may_be_stored or self.may_be_stored)
            if isinstance(problem, Unreachable):
                problem = replace(problem, after_refusal=True)
        return failure if problem is failure.problem else structs.replace(failure, problem=problem)


class StreamOrder:
    """Which entry of each stream is under way, for all queues that lead to one receiver.

    The next entry of a stream waits until that one has its verdict, whichever queue it is in.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, Entry] = {}
        self._held_back: dict[Callable[[], None], None] = {}

    @property
    def is_busy(self) -> bool:
        """Return whether an entry is under way."""
        return bool(self._under_way)

    def admits(self, entry: Entry, wake: Callable[[], None]) -> bool:
        """Return whether *entry* may leave now; if not, *wake* is called when it may."""
        if self._under_way.get(entry.stream, entry) is entry:
            return True
        self._held_back[wake] = None
        return False

    def enter(self, entry: Entry) -> None:
        """Record that *entry* is under way."""
        self._under_way[entry.stream] = entry

    def leave(self, entry: Entry) -> None:
        """Let the next entry of the stream go."""
        if self._under_way.get(entry.stream) is entry:
            del self._under_way[entry.stream]
            held_back, self._held_back = self._held_back, {}
            for wake in held_back:
                wake()


class AllWithdrawn(Exception):  # noqa: N818  # no error: nobody waits for these events any more
    """There is nothing left to send."""


class Batch(Struct, eq=False):
    """Events that leave in one push, until the last of their deadlines.

    *abandon* ends a push that no task waits for; *is_counted* is whether a delivery has recorded
    how many events there are. A destination that refused it may have stored events all the same
    (*may_be_stored*).
    """

    events: list[Entry]
    deadline: Deadline
    attempt: Attempt = field(default_factory=Attempt)
    began_ns: int = field(default_factory=perf_counter_ns)
    abandon: Callable[[], object] | None = None
    is_counted: bool = False
    may_be_stored: bool = False

    def freeze(self) -> list[Payload]:
        """Return what travels, right before the first byte leaves; raise `AllWithdrawn`.

        Until then an event whose deadline ends, or whose caller gives up, stays behind. A push
        that starts anew, because a kept connection has died, freezes the batch anew.
        """
        remaining: list[Entry] = []
        payloads: list[Payload] = []
        for event in self.events:
            if event.outcome is not None:
                event.batch = None  # what leaves now leaves without it
            elif event.batch is self:
                remaining.append(event)
                payloads.append(event.payload)
        self.events = remaining
        if not remaining:
            raise AllWithdrawn
        return payloads

    @property
    def is_unwanted(self) -> bool:
        """Return whether nobody waits for it any more, neither for the last event nor for another."""
        return self.events[-1].outcome is not None and all(
            event.outcome is not None for event in self.events
        )

    def finish(self, outcome: Outcome) -> bool:
        """Set one outcome for all events; where a refusal may be about one of several, return true.

        Then they are to go again, in smaller batches.
        """
        if len(self.events) > 1 and isinstance(outcome, Failure) and outcome.failure().per_event:
            failure = outcome.failure()
            stored = getattr(failure.problem, "may_be_stored", False)
            self.may_be_stored = stored or failure.rejected > 0  # the others were taken
            return True
        self.set_result(outcome)
        return False

    def set_result(self, outcome: Outcome) -> None:
        """Set one outcome for all events."""
        for event in self.events:
            event.set_result(outcome)

    def set_results(self, outcomes: Iterable[Outcome]) -> None:
        """Set the outcome of each event, in their order."""
        for event, outcome in zip(self.events, outcomes, strict=True):
            event.set_result(outcome)

    def split(self) -> None:
        """Prepare a second push of the events in smaller batches: a few one by one, many in halves.

        In the end those that are refused are alone.
        """
        size = len(self.events)
        most = 1 if size <= SINGLY else size // 2 + size % 2
        for start in range(0, size, most):
            part = object()
            for event in self.events[start : start + most]:
                event.part = part
                event.may_be_stored |= self.may_be_stored

    def fail(self, exc: Exception) -> None:
        """Raise a bug of ours wherever an event's outcome is awaited."""
        for event in self.events:
            event.fail(exc)
