"""Many events in one go: a group for each receiver, and a verdict per event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from time import perf_counter_ns
from typing import Any, Final

from msgspec import Struct
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Delivery, delivering
from sonda.pipeline.interruption import (
    InterruptedGroup,
    outcomes_of_group,
    what_became,
)
from sonda.pipeline.model import Ack, EncodedEvent, Pending, Receipt
from sonda.pipeline.net import Network
from sonda.pipeline.net.limiter import DestinationLimiter
from sonda.pipeline.observer import Observer
from sonda.pipeline.problems import DestinationBusy, Problem, Unreachable
from sonda.pipeline.receivers import Receivers, Send, cut_off_event, unsent_events
from sonda.pipeline.result import then
from sonda.pipeline.stages.send import receipt_of
from sonda.pipeline.turns import LIGHT, Turns

MOST_AT_ONCE: Final = 1000
"""Events of a group that one sink is handed at a time."""


class _Chunk(Struct, frozen=True):
    """Events of a group that their sink is handed together."""

    events: Sequence[EncodedEvent]
    deliveries: Sequence[Delivery]
    deadline: Deadline
    began_ns: int

    async def send(self, network: Network) -> list[Result[Receipt, Problem]]:
        """Deliver the events in their order; cancelled, the cause has each one's outcome."""
        sink = self.events[0].validated.sink
        payloads = [event.payload for event in self.events]
        try:
            plugin = sink.plugin
            if plugin.send_many is not None and plugin.can_join(payloads, sink.options):
                with delivering(self.deliveries):
                    verdicts = await sink.plugin.send_many(
                        payloads, network.opened(sink), network, self.deadline
                    )
            else:
                each = self._side_by_side if sink.plugin.side_by_side else self._one_by_one
                verdicts = await each(network)
        except asyncio.CancelledError as exc:
            verdicts = outcomes_of_group(exc)
            if verdicts is None:
                verdicts = [cut_off_event(event, has_left=True) for event in self.events]
            exc.__cause__ = InterruptedGroup(self._receipts(verdicts))
            raise
        return self._receipts(verdicts)

    async def _side_by_side(self, network: Network) -> list[Result[Ack, Problem]]:
        """Deliver all events at once; they are handed to the sink's own `push` in their order."""
        tasks = [
            asyncio.ensure_future(self._one(event, delivery, network))
            for event, delivery in zip(self.events, self.deliveries, strict=True)
        ]
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as exc:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            exc.__cause__ = InterruptedGroup(
                [self._outcome(task, event) for task, event in zip(tasks, self.events, strict=True)]
            )
            raise
        return [task.result() for task in tasks]

    def _outcome(
        self, task: asyncio.Task[Result[Ack, Problem]], event: EncodedEvent
    ) -> Result[Ack, Problem]:
        """Return what a task has come to, which is done: it may have been cancelled."""
        try:
            return task.result()
        except asyncio.CancelledError as exc:
            problem = what_became(exc)
            return cut_off_event(event, has_left=True) if problem is None else Failure(problem)

    async def _one(
        self, event: EncodedEvent, delivery: Delivery, network: Network
    ) -> Result[Ack, Problem]:
        sink = event.validated.sink
        with delivering((delivery,)):
            pushed: Result[Pending, Problem] = await sink.plugin.push(
                event.payload, network.opened(sink), network, self.deadline
            )
            return await then(pushed, _verdict)

    async def _one_by_one(self, network: Network) -> list[Result[Ack, Problem]]:
        """Deliver one event after the other, each by the sink's own `push`."""
        verdicts: list[Result[Ack, Problem]] = []
        try:
            for event, delivery in zip(self.events, self.deliveries, strict=True):
                verdicts.append(await self._one(event, delivery, network))
        except asyncio.CancelledError as exc:
            running, *unsent = self.events[len(verdicts) :]
            problem = what_became(exc)
            verdicts.append(
                cut_off_event(running, has_left=True) if problem is None else Failure(problem)
            )
            verdicts += [cut_off_event(event, has_left=False) for event in unsent]
            exc.__cause__ = InterruptedGroup(verdicts)
            raise
        return verdicts

    def _receipts(self, verdicts: Sequence[Result[Ack, Problem]]) -> list[Result[Receipt, Problem]]:
        latency_ns = perf_counter_ns() - self.began_ns
        return [
            Success(receipt_of(event.validated, verdict.unwrap(), latency_ns))
            if isinstance(verdict, Success)
            else Failure(verdict.failure())
            for event, verdict in zip(self.events, verdicts, strict=True)
        ]


async def _verdict(pending: Pending) -> Result[Ack, Problem]:
    return await pending()


async def _send_group(
    events: Sequence[EncodedEvent],
    deliveries: Sequence[Delivery],
    network: Network,
    limiter: DestinationLimiter,
    *,
    deadlines: Deadlines,
    waits: bool,
) -> list[Result[Receipt, Problem]]:
    """Deliver events of one receiver in their order; return the verdict on each, in that order.

    Where the destination is full they wait for places within their deadlines, or (*waits* is false)
    fail at once with `DestinationBusy`. Cancelled, the cause of the cancellation has each one's
    outcome (`outcomes_of_group`).
    """
    sink = events[0].validated.sink
    results: list[Result[Receipt, Problem]] = []
    for chunk in _chunks(events, deliveries, deadlines, limiter.most):
        count, deadline = len(chunk.events), chunk.deadline
        if waits and deadline.left_s() <= 0:
            results += [_too_late(sink.target, deadline)] * count
            continue
        try:
            until_s = deadline.at_s if waits else None
            async with limiter.acquire(sink.destination, count, until_s) as is_free:
                if is_free:
                    results += await chunk.send(network)
                elif waits:
                    results += [_too_late(sink.target, deadline)] * count
                else:
                    results += [Failure(DestinationBusy(sink.target, limiter.most or 0))] * count
        except asyncio.CancelledError as exc:
            results += outcomes_of_group(exc) or []
            results += unsent_events(events[len(results) :])
            exc.__cause__ = InterruptedGroup(results)
            raise
    return results


def _too_late(target: str, deadline: Deadline) -> Result[Any, Problem]:
    """Return what is known of an event whose deadline has ended before its turn came."""
    return Failure(Unreachable(f"wait for its turn at {target}", f"timed out after {deadline}"))


class Deadlines:
    """The deadlines of a group, by the timeout of each one's sink: all begin at once."""

    def __init__(self, until_s: float | None) -> None:
        self.began_ns = perf_counter_ns()
        self._began_s = asyncio.get_running_loop().time()
        self._until_s = until_s
        self._known: dict[float, Deadline] = {}

    def of(self, event: EncodedEvent) -> Deadline:
        """Return the deadline of an event of the group."""
        span_s = event.validated.sink.timeout_s
        if span_s not in self._known:
            self._known[span_s] = Deadline.within(span_s, self._until_s, self._began_s)
        return self._known[span_s]


def _chunks(
    events: Sequence[EncodedEvent],
    deliveries: Sequence[Delivery],
    deadlines: Deadlines,
    most: int | None,
) -> Iterator[_Chunk]:
    """Yield the events in pieces that their sink may be handed together, none of more than *most*."""
    size = min(MOST_AT_ONCE, most or MOST_AT_ONCE)
    known = iter(deliveries)
    for _, alike in groupby(events, _kind_of):
        while piece := list(islice(alike, size)):
            of_piece = list(islice(known, len(piece)))
            yield _Chunk(piece, of_piece, deadlines.of(piece[0]), deadlines.began_ns)


def _kind_of(event: EncodedEvent) -> tuple[object, ...]:
    """Return what events have in common that are joined, or handed on side by side."""
    encoder, sink = event.validated.encoder, event.validated.sink
    if sink.plugin.side_by_side:
        return sink.name, sink.timeout_s
    return sink.identity, encoder.identity, event.validated.event.signal_type


async def send_groups(
    events: Sequence[EncodedEvent],
    deliveries: Sequence[Delivery],
    network: Network,
    limiter: DestinationLimiter,
    *,
    until_s: float | None,
    waits: bool,
    turns: Turns,
) -> list[Result[Receipt, Problem]]:
    """Deliver events of any sinks; those for one receiver go in their order, receivers side by side.

    Return the verdict on each event, in the order of *events*. The deadlines begin now. Cancelled,
    the cause of the cancellation has each one's outcome (`outcomes_of_group`). *turns* are those of
    the work so far.
    """
    deadlines = Deadlines(until_s)
    send: Send = partial(
        _send_group, network=network, limiter=limiter, deadlines=deadlines, waits=waits
    )
    receivers = Receivers(events, deliveries, send)
    try:
        await receivers.sort(limiter.most or MOST_AT_ONCE, turns)
        await receivers.send()
    except asyncio.CancelledError as exc:
        await receivers.cancel()
        exc.__cause__ = InterruptedGroup(receivers.in_order())
        raise
    return receivers.in_order()


def delivery_of(prepared: Result[EncodedEvent, Problem]) -> Delivery:
    """Return a new delivery of an event that comes without one."""
    return Delivery.of(prepared.unwrap().validated if isinstance(prepared, Success) else None)


def in_place(
    prepared: Sequence[Result[EncodedEvent, Problem]], sent: Iterable[Result[Receipt, Problem]]
) -> Iterator[Result[Receipt, Problem]]:
    """Yield a verdict for each of *prepared*: the next of *sent*, or its own problem."""
    verdicts = iter(sent)
    for one in prepared:
        yield next(verdicts) if isinstance(one, Success) else Failure(one.failure())


async def record(
    deliveries: Sequence[Delivery],
    results: Iterable[Result[Receipt, Problem]],
    observer: Observer,
    warn: Callable[[str], object] | None,
    turns: Turns | None,
) -> list[Result[Receipt, Problem]]:
    """Record the outcomes, let the observer and, at the end, the log know; return the outcomes.

    *turns* are those of a server, where ten thousand events are long work, and so are as many lines
    of the log: `None` does all at once.
    """
    advised: dict[str, None] = {}
    outcomes: list[Result[Receipt, Problem]] = []
    warnings: tuple[str, ...] = ()
    for delivery, outcome in zip(deliveries, results, strict=True):
        before, warnings = warnings, delivery.ended(outcome)
        if warnings is not before:  # most events of a group share them
            advised.update(dict.fromkeys(warnings))
        observer.finished(delivery, outcome)
        outcomes.append(outcome)
        if turns is not None and not len(outcomes) % LIGHT and turns.is_over:
            await turns.pause()
    if warn is not None and advised:
        with delivering(deliveries[:1]):  # the log's lines have its id
            for warning in advised:
                warn(warning)
                if turns is not None:
                    await turns.pause()
    return outcomes
