"""Group commit: events that arrive while a push is under way leave together in the next one.

An idle destination gets its event at once: there is no timer that waits for company. A slow one
gets several pushes side by side, so that an event waits for its own push and not for all before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from functools import partial
from math import inf
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline, Expiry, TimeLimit, Timeouts
from sonda.pipeline.delivery import AttemptFailure, under_way
from sonda.pipeline.interruption import InterruptedGroup, explain
from sonda.pipeline.model import Ack, Payload, Pending
from sonda.pipeline.net.batch import (
    AllWithdrawn,
    Batch,
    BatchLimits,
    Entry,
    Group,
    StepNames,
    StreamOrder,
)
from sonda.pipeline.net.retry import (
    Outcome,
    Retry,
    deliver_many_with_retries,
    deliver_with_retries,
)
from sonda.pipeline.problems import Problem
from sonda.pipeline.unanswered import WHILE_UNKNOWN, WHILE_UNSENT, unanswered

PUSHES_IN_FLIGHT: Final = 16
SLOW_S: Final = 0.002  # how long a push is under way before the next may leave beside it
BATCH_BYTES: Final = 1 << 20  # of events, unless a single one is larger

Push: TypeAlias = Callable[[Batch], Awaitable[bool]]
"""Deliver a batch and settle its events; or return true, and they go again in smaller batches."""


class Queue:
    """The events for one destination, in the order in which they came."""

    def __init__(
        self,
        push: Push,
        names: StepNames,
        limits: BatchLimits,
        start: Callable[[Coroutine[Any, Any, None]], object],
        order: StreamOrder | None = None,
        *,
        retry: Retry | None = None,
    ) -> None:
        self.retry = retry
        self._push = push
        self._names = names
        self._limits = limits
        self._start = start
        self._entries: deque[Entry] = deque()
        self._order = order or (StreamOrder() if limits.one_each else None)
        self._pushes = 0
        self._began_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[Group, float] = {}  # until when each waits, on the loop's clock
        self._expiry = Expiry(self, Queue._expire_late)
        self._timeouts = Timeouts()  # of pushes in their callers' tasks
        self._has_company = True  # whether events have been coming together, as far as is known

    @property
    def is_busy(self) -> bool:
        """Return whether events wait here, or a push is under way."""
        return bool(self._entries or self._pushes)

    async def send(self, payload: Payload, deadline: Deadline) -> Outcome:
        """Send an event with the next push, and wait for its outcome, until the deadline."""
        group = Group((payload,), deadline, self._limits.stream_of)
        (entry,) = group.entries
        try:
            await self._send(group, deadline)
        except asyncio.CancelledError as exc:
            if isinstance(entry.outcome, Failure):
                explain(exc, entry.outcome.failure().problem)
            raise
        assert entry.outcome is not None  # noqa: S101  # the group is done
        return entry.outcome

    async def send_many(self, payloads: Sequence[Payload], deadline: Deadline) -> list[Outcome]:
        """Send events in their order, and wait for the outcome of each, until the deadline.

        If cancelled, the exception's `__cause__` has each one's outcome (`outcomes_of_group`).
        """
        group = Group(payloads, deadline, self._limits.stream_of)
        try:
            await self._send(group, deadline)
        except asyncio.CancelledError as exc:
            exc.__cause__ = InterruptedGroup(group.outcomes())
            raise
        return group.outcomes()

    async def _send(self, group: Group, deadline: Deadline) -> None:
        # With a StreamOrder the next event waits for this one's verdict: a push in the caller's task
        # could be cancelled and give none, so it gets a task of its own.
        is_idle = self._order is None and not (self._entries or self._pushes)
        self._entries.extend(group.entries)
        since_ns = perf_counter_ns()
        try:
            if is_idle:
                await self._push_own(group)
            else:
                self.start_if_due()
            if not group.done.done():
                self._waiting[group] = deadline.at_s
                self._expiry.until(deadline.at_s)
            await group.done
        except asyncio.CancelledError:
            for event in group.entries:
                cut_off = self._unfinished(event, WHILE_UNKNOWN, WHILE_UNSENT)
                event.set_result(Failure(AttemptFailure(cut_off)))
            raise
        finally:
            self._waiting.pop(group, None)
            deliveries = under_way()
            group.finish(deliveries[0] if deliveries else None, since_ns)

    async def _push_own(self, group: Group) -> None:
        """Push a single event of an idle queue in its caller's own task: there is nobody to wake.

        Where events have been coming together it waits for this turn of the loop to end: if more
        have come by then, a separate task pushes them together.
        """
        self._pushes += 1
        self._began_s = asyncio.get_running_loop().time()
        try:
            if self._has_company:
                await asyncio.sleep(0)
            if len(self._entries) == 1 and self._entries[0] is group.entries[0]:
                batch = Batch([self._entries.popleft()])
                with TimeLimit(self._timeouts, batch.deadline.at_s):
                    await self._push(batch)
        except TimeoutError:
            self._expire(group)
        finally:
            self._pushes -= 1
            self._has_company = bool(self._entries) or not self._limits.is_answered
            if self._entries:
                self.start_if_due()

    def _expire_late(self, now_s: float) -> float:
        """Expire the groups whose deadline is over; return when the next one ends."""
        late = [group for group, at_s in self._waiting.items() if at_s <= now_s]
        for group in late:
            del self._waiting[group]
            self._expire(group)
        return min(self._waiting.values(), default=inf)

    def _expire(self, group: Group) -> None:
        """Abandon what has no outcome yet; withdraw what is still in the queue."""
        for event in group.entries:
            deadline = event.deadline
            late = self._unfinished(event, f"within {deadline}", f"timed out after {deadline}")
            event.set_result(Failure(AttemptFailure(late)))
        while self._entries and self._entries[0].outcome is not None:
            self._entries.popleft()

    def _unfinished(self, event: Entry, unknown: str, unsent: str) -> Problem:
        """Return what is known of an abandoned event, with the reason."""
        step = self._names.write if event.connected else self._names.connect
        time_ns, left = event.payload.event.time_ns, event.left
        return unanswered(
            self._names.target, step, left=left, time_ns=time_ns, unknown=unknown, unsent=unsent
        )

    def start_if_due(self) -> None:
        """Begin a push if there is work and none is under way, or those under way are slow."""
        if not self._entries or self._pushes == (self._limits.pushes or PUSHES_IN_FLIGHT):
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
        self.start_if_due()

    async def _work(self) -> None:
        """Push as long as there is work.

        The first batch is put together when this task gets its turn: by then all that arrived
        in the same turn of the loop is in line.
        """
        try:
            while batch := self._take():
                self._began_s = asyncio.get_running_loop().time()
                self.start_if_due()  # for what had no room in this batch
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
            if event.outcome is not None:
                self._release(event)
            elif self._order is not None and not self._order.admits(event, self.start_if_due):
                held.append(event)
            elif taken and (
                event.part is not taken[0].part
                or taken[0].payload.count > 1
                or not self._fits(event, streams, size_bytes)
            ):
                self._entries.appendleft(event)
                break
            else:
                taken.append(event)
                streams.add(event.stream)
                size_bytes += len(event.payload.body)
                if self._order is not None:
                    self._order.enter(event)
        self._entries.extendleft(reversed(held))
        if not taken:
            return None
        self._has_company = len(taken) > 1
        return Batch(taken)

    def _fits(self, event: Entry, streams: set[Hashable], size_bytes: int) -> bool:
        if size_bytes + len(event.payload.body) > (self._limits.size_bytes or BATCH_BYTES):
            return False
        if event.payload.count > 1:  # a piece leaves alone: it has been cut to the limits
            return False
        most = self._limits.streams
        return most is None or event.stream in streams or len(streams) < most

    def _release(self, event: Entry) -> None:
        """Let the next event of a stream go."""
        if self._order is not None:
            self._order.leave(event)


class Queues:
    """The queues of one sink whose events are not all alike, one for each kind of them.

    *kind_of* tells which payloads may leave together; *make* makes the queue of the first one's.
    """

    def __init__(
        self, kind_of: Callable[[Payload], Hashable], make: Callable[[Payload], Queue]
    ) -> None:
        self._kind_of = kind_of
        self._make = make
        self._queues: dict[Hashable, Queue] = {}

    @property
    def is_busy(self) -> bool:
        """Return whether one of them is."""
        return any(queue.is_busy for queue in self._queues.values())

    def find(self, payload: Payload) -> Queue:
        """Return the queue for payloads like this one."""
        kind = self._kind_of(payload)
        queue = self._queues.get(kind)
        if queue is None:
            queue = self._queues[kind] = self._make(payload)
        return queue


async def push_by_kind(
    payload: Payload, queues: Queues, network: object, deadline: Deadline
) -> Result[Pending, Problem]:
    """Return the delivery of an event by the queue of its kind, as `push_to` does."""
    return await push_to(payload, queues.find(payload), network, deadline)


async def send_many_by_kind(
    payloads: Sequence[Payload], queues: Queues, network: object, deadline: Deadline
) -> list[Result[Ack, Problem]]:
    """Send a group of one kind by its queue, as `send_many_to` does."""
    return await send_many_to(payloads, queues.find(payloads[0]), network, deadline)


async def push_to(
    payload: Payload, queue: Queue, _network: object, deadline: Deadline
) -> Result[Pending, Problem]:
    """Return the delivery of an event by *queue*, in which each retry waits anew."""
    attempt = partial(queue.send, payload, deadline)
    return Success(partial(deliver_with_retries, attempt, queue.retry, deadline))


async def send_many_to(
    payloads: Sequence[Payload], queue: Queue, _network: object, deadline: Deadline
) -> list[Result[Ack, Problem]]:
    """Send a group by *queue* until each event has its verdict, in the order of the group."""
    attempt = partial(queue.send_many, deadline=deadline)
    return await deliver_many_with_retries(attempt, payloads, queue.retry, deadline)
