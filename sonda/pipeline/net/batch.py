"""What leaves together: entries of a queue, the groups they wait in, and the batches they leave in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Final, TypeAlias

from msgspec import Struct, structs
from returns.result import Failure

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt, AttemptFailure, Delivery
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
    under way for a while; another one may be over before the next event of its turn of the event
    loop is there.
    """

    events: int
    size_bytes: int | None = None
    pushes: int | None = None
    streams: int | None = None
    stream_of: StreamOf | None = None
    one_each: bool = False
    is_answered: bool = True


class Group:
    """Entries that wait together: one future, done when each has its outcome, and one deadline."""

    __slots__ = ("_left", "_since_ns", "done", "entries")

    def __init__(
        self, payloads: Sequence[Payload], deadline: Deadline, stream_of: StreamOf | None
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = len(payloads)
        self._since_ns = perf_counter_ns()
        self.entries: list[Entry] = []
        for payload in payloads:
            stream = stream_of(payload) if stream_of else None
            self.entries.append(Entry(payload, deadline, stream, self))

    def settled(self) -> None:
        """Count one more entry that has its outcome."""
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def fail(self, exc: Exception) -> None:
        """Raise a bug of ours where the group is awaited."""
        if not self.done.done():
            self.done.set_exception(exc)

    def outcomes(self) -> list[Outcome]:
        """Return what has become of each entry, in their order; all must have been settled."""
        return [entry.outcome for entry in self.entries if entry.outcome is not None]

    def finish(self, delivery: Delivery | None) -> None:
        """Record how long the first event waited, and the sizes of batches that are not counted.

        Then let go of what leads back here: circles that only the collector could free.
        """
        first = self.entries[0]
        if delivery is not None:
            delivery.waited(self._since_ns, first.batch.began_ns if first.batch else 0)
        for entry in self.entries:
            batch = entry.batch
            if delivery is not None and batch is not None and not batch.is_counted:
                batch.is_counted = True
                delivery.pushes.append(len(batch.events))
            entry.batch = entry.group = None


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
    def left(self) -> bool:
        """Return whether a byte of it has left the program."""
        return self.part is not None or (self.batch is not None and self.batch.journey.left)

    @property
    def connected(self) -> bool:
        """Return whether its batch has got a connection."""
        return self.batch is not None and self.batch.journey.connected

    def set_result(self, outcome: Outcome) -> None:
        """Set what has become of it, unless its deadline was faster."""
        if self.outcome is None:
            self.outcome = outcome.alt(self._own) if isinstance(outcome, Failure) else outcome
            if self.group is not None:
                self.group.settled()

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


class Batch:
    """Events that leave in one push."""

    def __init__(self, events: list[Entry]) -> None:
        self.events = events
        self.began_ns = perf_counter_ns()
        self.journey = Attempt()
        self.may_be_stored = False  # though it was refused
        self.is_counted = False  # whether a delivery has recorded its size
        self.abandon: Callable[[], object] | None = None  # ends a push that no task waits for
        self.deadline = events[0].deadline
        for event in events:
            event.batch = self
            if event.deadline.at_s > self.deadline.at_s:
                self.deadline = event.deadline

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
