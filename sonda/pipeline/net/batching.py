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

from sonda.pipeline.deadline import Deadline, Expiry
from sonda.pipeline.delivery import UNDER_WAY, AttemptFailure, Delivery
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
from sonda.pipeline.unknown_or_unsent import WHILE_UNKNOWN, WHILE_UNSENT, unknown_or_unsent

PUSHES_IN_FLIGHT: Final = 16
SLOW_S: Final = 0.002  # how long a push is under way before the next may leave beside it
BATCH_BYTES: Final = 1 << 20  # of events, unless a single one is larger

Push: TypeAlias = Callable[[Batch], Awaitable[bool]]
"""Deliver a batch and settle its events; return true if they are to go again, in smaller batches."""
Pushed: TypeAlias = Callable[[Batch, "bool | Exception"], None]
"""Called once a push is over that was begun, with what `Push` would have returned or raised."""
Begin: TypeAlias = Callable[[Batch, Pushed], "bool | None"]
"""Push a batch without waiting. Return true once it is over, with all its events settled; false
while it is under way, and then `Pushed` is called at its end; or `None` if nothing was begun, since
it has to wait: then it needs a task.
"""


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
        begin: Begin | None = None,
    ) -> None:
        self.retry = retry
        self._push = push
        self._begin = begin
        self._names = names
        self._limits = limits
        self._start = start
        self._entries: deque[Entry] = deque()
        self._order = order or (StreamOrder() if limits.one_each else None)
        self._pushes = 0
        # Asked for once: before Python 3.12 that is a system call.
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]
        self._began_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[Group, float] = {}  # until when each waits, on the loop's clock
        self._expiry = Expiry(self, Queue._expire_late)
        self._has_company = True  # whether events have been coming together, as far as is known

    @property
    def is_busy(self) -> bool:
        """Return whether events wait here, or a push is under way."""
        return bool(self._entries or self._pushes)

    async def send(self, payload: Payload, deadline: Deadline) -> Outcome:
        """Send an event with the next push, and wait for its outcome, until the deadline."""
        return await self._outcome(self.put((payload,), deadline))

    async def send_many(self, payloads: Sequence[Payload], deadline: Deadline) -> list[Outcome]:
        """Send events in their order, and wait for the outcome of each, until the deadline.

        If cancelled, the exception's `__cause__` has each one's outcome (`outcomes_of_group`).
        """
        group = self.put(payloads, deadline)
        try:
            await group.done
        except asyncio.CancelledError as exc:
            self._cut_off(group)
            exc.__cause__ = InterruptedGroup(group.outcomes())
            raise
        finally:
            self._finish(group)
        return group.outcomes()

    def put(self, payloads: Sequence[Payload], deadline: Deadline) -> Group:
        """Put events into the queue, and push those of an idle one at once if that needs no wait.

        Where events have been coming together, that is left to the end of this turn of the loop.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        group = Group(self._loop.create_future(), len(payloads))
        stream_of = self._limits.stream_of if self._order else None
        for payload in payloads:
            stream = stream_of(payload) if stream_of else None
            group.entries.append(Entry(payload, deadline, stream, group))
        self._entries.extend(group.entries)
        if self._has_company or self._pushes:
            self.start_if_due()
        else:
            self._pushes += 1
            self._go_on()
        if not group.done.done():
            self._waiting[group] = deadline.at_s
            if deadline.at_s < self._expiry.at_s:
                self._expiry.until(deadline.at_s)
        return group

    async def flush(
        self, group: Group, payload: Payload, deadline: Deadline
    ) -> Result[Ack, Problem]:
        """Wait for the verdict on a single event that was put here; for each retry it is put anew."""
        delivery = next(iter(UNDER_WAY.get()), None) or Delivery()
        delivery.tries += 1
        outcome = await self._outcome(group)
        if isinstance(outcome, Success):
            return outcome
        attempt = partial(self.send, payload, deadline)
        return await deliver_with_retries(attempt, self.retry, deadline, first=outcome)

    async def _outcome(self, group: Group) -> Outcome:
        try:
            await group.done
        except asyncio.CancelledError as exc:
            self._cut_off(group)
            outcome = group.entries[0].outcome
            if isinstance(outcome, Failure):
                explain(exc, outcome.failure().problem)
            raise
        finally:
            self._finish(group)
        outcome = group.entries[0].outcome
        assert outcome is not None  # noqa: S101  # the group is done
        return outcome

    def _cut_off(self, group: Group) -> None:
        """Abandon what nobody waits for any longer."""
        for event in group.entries:
            cut_off = self._unfinished(event, WHILE_UNKNOWN, WHILE_UNSENT)
            event.set_result(Failure(AttemptFailure(cut_off)))
            self._abandon(event.batch)

    def _abandon(self, batch: Batch | None) -> None:
        """End a push that nobody waits for; one that has a task ends by itself."""
        if batch is not None and batch.abandon is not None and batch.is_unwanted:
            abandon, batch.abandon = batch.abandon, None
            abandon()
            self._pushed(batch, False)  # nothing goes again

    def _finish(self, group: Group) -> None:
        """Record how long the first event waited, and the sizes of batches that are not counted yet."""
        self._waiting.pop(group, None)
        delivery = next(iter(UNDER_WAY.get()), None)
        if delivery is not None:
            first = group.entries[0].batch
            until_ns = first.began_ns if first else perf_counter_ns()
            delivery.shared = True  # as `waited` has it, without a call for each event
            delivery.waited_ns += max(0, until_ns - group.since_ns)
        for entry in group.entries:
            batch = entry.batch
            if delivery is not None and batch is not None and not batch.is_counted:
                batch.is_counted = True
                delivery.pushes.append(len(batch.events))
            entry.batch = entry.group = None  # circles that only the collector could free

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
            self._abandon(event.batch)
        while self._entries and self._entries[0].outcome is not None:
            self._entries.popleft()

    def _unfinished(self, event: Entry, unknown: str, unsent: str) -> Problem:
        """Return what is known of an abandoned event, with the reason."""
        names, has_left, time_ns = self._names, event.has_left, event.payload.event.time_ns
        step = names.write if event.connected else names.connect
        return unknown_or_unsent(
            names.target, step, has_left=has_left, time_ns=time_ns, unknown=unknown, unsent=unsent
        )

    def start_if_due(self) -> None:
        """Begin a push if there is work and none is under way, or those under way are slow."""
        if not self._entries or self._pushes == (self._limits.pushes or PUSHES_IN_FLIGHT):
            return
        loop = self._loop
        early_s = self._began_s + SLOW_S - loop.time() if self._pushes else 0.0
        if early_s <= 0.0:
            self._began_s = loop.time()
            self._pushes += 1
            loop.call_soon(self._go_on)  # by then all that arrives in this turn is in line
        elif self._timer is None:
            self._timer = loop.call_later(early_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.start_if_due()

    def _go_on(self) -> None:
        """Push as long as there is work that needs no wait; what does gets a task, or is called back."""
        while self._entries and (batch := self._take()):
            self._began_s = self._loop.time()
            if self._entries:
                self.start_if_due()  # for what had no room in this batch
            try:
                is_over = None if self._begin is None else self._begin(batch, self._pushed)
            except AllWithdrawn:
                is_over = True
            except Exception as exc:  # noqa: BLE001  # a bug, raised again where the outcome is awaited
                batch.fail(exc)
                is_over = True
            if is_over is None:
                self._start(self._work(batch))
            if not is_over:
                return
            self._leave(batch.events)
        self._pushes -= 1

    def _pushed(self, batch: Batch, again: bool | Exception) -> None:
        batch.abandon = None  # it leads to the exchange, and that leads here
        if isinstance(again, Exception):
            batch.fail(again)
        if again is True:
            batch.split()
            self._entries.extendleft(reversed(batch.events))
        elif self._order is not None:  # a call less for all others
            self._leave(batch.events)
        self._go_on()

    async def _work(self, batch: Batch) -> None:
        """Push a batch that needs a task of its own."""
        try:
            again: bool | Exception = await self._push(batch)
        except AllWithdrawn:
            again = False
        except Exception as exc:  # noqa: BLE001  # a bug, raised again where the outcome is awaited
            again = exc
        except asyncio.CancelledError:
            self._pushes -= 1
            raise
        self._pushed(batch, again)

    def _leave(self, events: Sequence[Entry]) -> None:
        """Let the next event of each stream go."""
        if self._order is not None:
            for event in events:
                self._order.leave(event)

    def _take(self) -> Batch | None:
        """Take the first events that may leave together."""
        entries = self._entries
        if len(entries) == 1 and self._order is None and entries[0].outcome is None:
            taken = [entries.popleft()]  # as it nearly always is with a single client
        else:
            taken = self._take_several()
        if not taken:
            return None
        self._has_company = len(taken) > 1 or not self._limits.is_answered
        batch = Batch(taken, taken[0].deadline)
        for event in taken:
            event.batch = batch
            if event.deadline.at_s > batch.deadline.at_s:
                batch.deadline = event.deadline
        return batch

    def _take_several(self) -> list[Entry]:
        taken, held = list[Entry](), list[Entry]()
        streams, size_bytes = set[Hashable](), 0
        stream_of = None if self._order else self._limits.stream_of
        while self._entries and len(taken) < self._limits.events:
            event = self._entries.popleft()
            if stream_of is not None:
                event.stream = stream_of(event.payload)
            if event.outcome is not None:
                self._leave((event,))
            elif self._order is not None and not self._order.admits(event, self.start_if_due):
                held.append(event)
            elif taken and not self._fits(event, taken[0], streams, size_bytes):
                self._entries.appendleft(event)
                break
            else:
                taken.append(event)
                streams.add(event.stream)
                size_bytes += len(event.payload.body)
                if self._order is not None:
                    self._order.enter(event)
        self._entries.extendleft(reversed(held))
        return taken

    def _fits(self, event: Entry, first: Entry, streams: set[Hashable], size_bytes: int) -> bool:
        is_full = size_bytes + len(event.payload.body) > (self._limits.size_bytes or BATCH_BYTES)
        is_piece = first.payload.count > 1 or event.payload.count > 1  # cut to the limits: alone
        if is_full or is_piece or event.part is not first.part:
            return False
        most = self._limits.streams
        return most is None or event.stream in streams or len(streams) < most


async def push_to(
    payload: Payload, queue: Queue, _network: object, deadline: Deadline
) -> Result[Pending, Problem]:
    """Hand an event over to *queue*."""
    group = queue.put((payload,), deadline)
    return Success(partial(queue.flush, group, payload, deadline))


async def send_many_to(
    payloads: Sequence[Payload], queue: Queue, _network: object, deadline: Deadline
) -> list[Result[Ack, Problem]]:
    """Send a group by *queue* until each event has its verdict, in the order of the group."""
    attempt = partial(queue.send_many, deadline=deadline)
    return await deliver_many_with_retries(attempt, payloads, queue.retry, deadline)
