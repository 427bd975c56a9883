"""Group commit: events that arrive while a push is under way leave together in the next one.

An idle destination gets its event at once: there is no timer that waits for company. A slow one
gets several pushes side by side, so that an event waits for its own push and not for all before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

from returns.result import Failure, Result

from sonda.pipeline.course import DELIVERY_PROGRESS, DeliveryProgress
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.interruption import WHILE_UNKNOWN, WHILE_UNSENT, explain
from sonda.pipeline.model import Ack, Payload
from sonda.pipeline.net.pool import Attempt
from sonda.pipeline.net.retry import AttemptFailure
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable

PUSHES_IN_FLIGHT: Final = 16
SLOW_S: Final = 0.002  # how long a push is under way before the next may leave beside it
BATCH_BYTES: Final = 1 << 20  # of events, unless a single one is larger

Outcome: TypeAlias = Result[Ack, AttemptFailure]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """The most that one push combines: events, and different streams among them.

    *stream_of* tells which stream an event belongs to. With *one_each* a push has one event of a
    stream at most, and the next one waits until that has its verdict.
    """

    events: int
    streams: int | None = None
    stream_of: Callable[[Payload], Hashable] | None = None
    one_each: bool = False


class Entry:
    """An event in line, until its outcome is known."""

    __slots__ = ("batch", "deadline", "isolated", "outcome", "payload", "stream")

    def __init__(self, payload: Payload, deadline: Deadline, stream: Hashable) -> None:
        self.payload = payload
        self.deadline = deadline
        self.stream = stream
        self.batch: Batch | None = None
        self.isolated = False  # its batch was refused: it has a second try, without the others
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    @property
    def left(self) -> bool:
        """Tell whether a byte of it has left the program."""
        return self.isolated or (self.batch is not None and self.batch.journey.left)

    @property
    def connected(self) -> bool:
        """Tell whether its batch has got a connection."""
        return self.batch is not None and self.batch.journey.connected

    def set_result(self, outcome: Outcome) -> None:
        """Say what has become of it, unless its deadline was faster."""
        if not self.outcome.done():
            self.outcome.set_result(outcome.alt(self._dated))

    def record_timings(self, course: DeliveryProgress, since_ns: int) -> None:
        """Note how long it has been in line, and the push if it is the first of it that tells."""
        course.wait(since_ns, self.batch.began_ns if self.batch else 0)
        if self.batch and (events := self.batch.count()):
            course.pushes.append(events)

    def _dated(self, setback: AttemptFailure) -> AttemptFailure:
        """An unknown outcome names the event's own time."""
        if isinstance(setback.problem, OutcomeUnknown):
            own = replace(setback.problem, time_ns=self.payload.event.time_ns)
            return replace(setback, problem=own)
        return setback


class AllWithdrawn(Exception):  # noqa: N818  # no error: nobody waits for these events any more
    """There is nothing left to send."""


class Batch:
    """Events that leave in one push."""

    def __init__(self, events: list[Entry]) -> None:
        self.events = events
        self.began_ns = perf_counter_ns()
        self.journey = Attempt()
        self._counted = False
        self.deadline = max((event.deadline for event in events), key=lambda it: it.at_s)
        for event in events:
            event.batch = self

    def freeze(self) -> list[Payload]:
        """Give what travels, right before the first byte leaves; raises `AllWithdrawn`.

        Until then an event whose deadline ends, or whose caller gives up, stays behind. A push
        that starts anew, because a kept connection has died, seals anew.
        """
        for event in self.events:
            if event.outcome.done():
                event.batch = None  # what leaves now leaves without it
        self.events = [event for event in self.events if event.batch is self]
        if not self.events:
            raise AllWithdrawn
        return [event.payload for event in self.events]

    def set_result(self, outcome: Outcome) -> None:
        """Say the same of every event."""
        for event in self.events:
            event.set_result(outcome)

    def set_results(self, outcomes: Iterable[Outcome]) -> None:
        """Say something of each event, in their order."""
        for event, outcome in zip(self.events, outcomes, strict=True):
            event.set_result(outcome)

    def count(self) -> int:
        """Give how many events it has, to the first that asks, and then nothing."""
        counted, self._counted = self._counted, True
        return 0 if counted else len(self.events)

    def split(self) -> None:
        """Have each event go again, alone."""
        for event in self.events:
            event.isolated = True

    def fail(self, exc: Exception) -> None:
        """Raise a bug of ours wherever an event's outcome is awaited."""
        for event in self.events:
            if not event.outcome.done():
                event.outcome.set_exception(exc)


Push: TypeAlias = Callable[[Batch], Awaitable[bool]]
"""Deliver a batch and settle its events; or say true, and each has a second try alone."""


@dataclass(frozen=True, slots=True)
class Labels:
    """How problems call a destination, and the steps there: `TCP connect to a:1`."""

    target: str
    connect: str
    write: str


class Queue:
    """The events for one destination, in the order in which they came."""

    def __init__(
        self,
        push: Push,
        names: Labels,
        limits: BatchLimits,
        start: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._push = push
        self._names = names
        self._limits = limits
        self._start = start
        self._entries: deque[Entry] = deque()
        self._reserved: dict[Hashable, Entry] = {}
        self._pushes = 0
        self._began_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, payload: Payload, deadline: Deadline) -> Outcome:
        """Send an event with the next push, and wait for its outcome, until the deadline."""
        stream_of = self._limits.stream_of
        event = Entry(payload, deadline, stream_of(payload) if stream_of else None)
        self._entries.append(event)
        self._start_if_due()
        loop = asyncio.get_running_loop()
        expiry = loop.call_at(deadline.at_s, self._expire, event)
        course = DELIVERY_PROGRESS.get()
        since_ns = perf_counter_ns() if course is not None else 0
        try:
            return await event.outcome
        except asyncio.CancelledError as exc:
            explain(exc, self._unfinished(event, WHILE_UNKNOWN, WHILE_UNSENT))
            raise
        finally:
            expiry.cancel()
            if course is not None:
                event.record_timings(course, since_ns)
            event.batch = None  # it leads back here: a circle that only the collector could free

    def _expire(self, event: Entry) -> None:
        """Give an event up; still in line, it is withdrawn."""
        deadline = event.deadline
        late = self._unfinished(event, f"within {deadline}", f"timed out after {deadline}")
        event.set_result(Failure(AttemptFailure(late)))
        while self._entries and self._entries[0].outcome.done():
            self._entries.popleft()

    def _unfinished(self, event: Entry, unknown: str, unsent: str) -> Problem:
        """Say what is known of an event that is given up, and why it is."""
        if event.left:
            return OutcomeUnknown(self._names.target, unknown, event.payload.event.time_ns)
        step = self._names.write if event.connected else self._names.connect
        return Unreachable(step, unsent)

    def _start_if_due(self) -> None:
        """Begin a push if there is work and none is under way, or those under way are slow."""
        if not self._entries or self._pushes == PUSHES_IN_FLIGHT:
            return
        loop = asyncio.get_running_loop()
        early_s = self._began_s + SLOW_S - loop.time() if self._pushes else 0.0
        if early_s <= 0.0:
            self._began_s = loop.time()
            self._pushes += 1
            self._start(self._work())
        elif self._timer is None:
            self._timer = loop.call_later(early_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._start_if_due()

    async def _work(self) -> None:
        """Push as long as there is work.

        The first batch is put together when this task gets its turn: by then all that arrived
        in the same turn of the loop is in line.
        """
        try:
            while batch := self._take():
                self._began_s = asyncio.get_running_loop().time()
                self._start_if_due()  # for what had no room in this batch
                await self._deliver(batch)
        finally:
            self._pushes -= 1

    async def _deliver(self, batch: Batch) -> None:
        try:
            if await self._push(batch):
                batch.split()
                self._entries.extendleft(reversed(batch.events))
                return
        except AllWithdrawn:
            pass
        except Exception as exc:  # noqa: BLE001  # a bug, raised again where the outcome is awaited
            batch.fail(exc)
        for event in batch.events:
            self._release(event)

    def _take(self) -> Batch | None:
        """Take the first events that may leave together."""
        taken: list[Entry] = []
        held: list[Entry] = []
        streams: set[Hashable] = set()
        size_bytes = 0
        while self._entries and len(taken) < self._limits.events:
            event = self._entries.popleft()
            if event.outcome.done():
                self._release(event)
            elif self._limits.one_each and self._reserved.get(event.stream, event) is not event:
                held.append(event)
            elif taken and not self._fits(event, streams, size_bytes):
                self._entries.appendleft(event)
                break
            else:
                taken.append(event)
                streams.add(event.stream)
                size_bytes += len(event.payload.body)
                if self._limits.one_each:
                    self._reserved[event.stream] = event
                if event.isolated:
                    break
        self._entries.extendleft(reversed(held))
        return Batch(taken) if taken else None

    def _fits(self, event: Entry, streams: set[Hashable], size_bytes: int) -> bool:
        if event.isolated or size_bytes + len(event.payload.body) > BATCH_BYTES:
            return False
        most = self._limits.streams
        return most is None or event.stream in streams or len(streams) < most

    def _release(self, event: Entry) -> None:
        """Let the next event of a stream go."""
        if self._reserved.get(event.stream) is event:
            del self._reserved[event.stream]
