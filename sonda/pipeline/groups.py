"""Many events in one go: groups for one destination each, with one deadline and a verdict per event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from time import perf_counter_ns
from typing import Final

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Delivery, delivering
from sonda.pipeline.interruption import (
    WHILE_UNSENT,
    InterruptedGroup,
    outcomes_of_group,
    what_became,
)
from sonda.pipeline.model import Ack, EncodedEvent, Pending, Receipt, Signal
from sonda.pipeline.net import Network
from sonda.pipeline.net.limiter import DestinationLimiter
from sonda.pipeline.problems import DestinationBusy, OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.stages.flush import receipt_of

MOST_AT_ONCE: Final = 1000
"""Events of a group that one sink is handed at a time."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Events of a group that go to their sink together; all have the same encoder and sink."""

    events: Sequence[EncodedEvent]
    deliveries: Sequence[Delivery]
    deadline: Deadline
    began_ns: int

    async def send(self, network: Network) -> list[Result[Receipt, Problem]]:
        """Deliver the events in their order; cancelled, the cause has each one's outcome."""
        sink = self.events[0].order.sink
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
                verdicts = [self._cut_off(event) for event in self.events]
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
            return self._cut_off(event) if problem is None else Failure(problem)

    async def _one(
        self, event: EncodedEvent, delivery: Delivery, network: Network
    ) -> Result[Ack, Problem]:
        sink = event.order.sink
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
            verdicts.append(self._cut_off(running) if problem is None else Failure(problem))
            verdicts += [Failure(self._unsent(event)) for event in unsent]
            exc.__cause__ = InterruptedGroup(verdicts)
            raise
        return verdicts

    def _receipts(self, verdicts: Sequence[Result[Ack, Problem]]) -> list[Result[Receipt, Problem]]:
        ended_ns = perf_counter_ns()
        return [
            verdict.map(partial(receipt_of, event.order, latency_ns=ended_ns - self.began_ns))
            for event, verdict in zip(self.events, verdicts, strict=True)
        ]

    def _cut_off(self, event: EncodedEvent) -> Result[Ack, Problem]:
        target = event.order.sink.target
        return Failure(
            OutcomeUnknown(target, "before its delivery was cut off", event.order.event.time_ns)
        )

    def _unsent(self, event: EncodedEvent) -> Problem:
        return Unreachable(f"send to {event.order.sink.target}", WHILE_UNSENT)


async def _verdict(pending: Pending) -> Result[Ack, Problem]:
    return await pending()


async def send_group(
    events: Sequence[EncodedEvent],
    deliveries: Sequence[Delivery],
    network: Network,
    limiter: DestinationLimiter,
    *,
    until_s: float | None,
    waits: bool,
) -> list[Result[Receipt, Problem]]:
    """Deliver events of one sink in their order; return the verdict on each, in that order.

    All have one deadline, which begins now. Where the destination is full they wait for places
    within it, or (*waits* is false) fail at once with `DestinationBusy`. Cancelled, the cause of the
    cancellation has each one's outcome (`outcomes_of_group`).
    """
    sink = events[0].order.sink
    deadline = Deadline.within(sink.timeout_s, until_s)
    began_ns = perf_counter_ns()
    results: list[Result[Receipt, Problem]] = []
    for chunk in _chunks(events, deliveries, deadline, began_ns, limiter.most):
        until = deadline.at_s if waits else 0.0
        try:
            async with limiter.acquire(sink.destination, len(chunk.events), until) as is_free:
                if is_free:
                    results += await chunk.send(network)
                else:
                    busy = DestinationBusy(sink.target, limiter.most or 0)
                    results += [Failure(busy)] * len(chunk.events)
        except asyncio.CancelledError as exc:
            results += outcomes_of_group(exc) or []
            rest = events[len(results) :]
            unsent = Failure(Unreachable(f"send to {sink.target}", WHILE_UNSENT))
            results += [unsent] * len(rest)
            exc.__cause__ = InterruptedGroup(results)
            raise
    return results


def _chunks(
    events: Sequence[EncodedEvent],
    deliveries: Sequence[Delivery],
    deadline: Deadline,
    began_ns: int,
    most: int | None,
) -> Iterator[_Chunk]:
    """Yield the events in pieces of one encoder each, none of more than *most* events."""
    size = min(MOST_AT_ONCE, most or MOST_AT_ONCE)
    known = iter(deliveries)
    for _, alike in groupby(events, _format_of):
        run = list(alike)
        for start in range(0, len(run), size):
            piece = run[start : start + size]
            yield _Chunk(piece, list(islice(known, len(piece))), deadline, began_ns)


def _format_of(event: EncodedEvent) -> tuple[str, Signal]:
    """Return what payloads that are joined must have in common."""
    return event.order.encoder.identity, event.order.event.signal_type


async def send_groups(
    events: Sequence[EncodedEvent],
    deliveries: Sequence[Delivery],
    network: Network,
    limiter: DestinationLimiter,
    *,
    until_s: float | None,
    waits: bool,
) -> list[Result[Receipt, Problem]]:
    """Deliver events of any sinks; those for one sink go in their order, the sinks side by side.

    Return the verdict on each event, in the order of *events*. Cancelled, the cause of the
    cancellation has each one's outcome (`outcomes_of_group`).
    """
    places: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        places.setdefault(event.order.sink.identity, []).append(place)
    tasks = {
        asyncio.ensure_future(
            send_group(
                [events[place] for place in of_sink],
                [deliveries[place] for place in of_sink],
                network,
                limiter,
                until_s=until_s,
                waits=waits,
            )
        ): of_sink
        for of_sink in places.values()
    }
    cut_off: asyncio.CancelledError | None = None
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError as exc:
        cut_off = exc
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    results: dict[int, Result[Receipt, Problem]] = {}
    for task, of_sink in tasks.items():
        results.update(zip(of_sink, await _outcomes(task, len(of_sink)), strict=True))
    in_order = [results[place] for place in range(len(events))]
    if cut_off is not None:
        cut_off.__cause__ = InterruptedGroup(in_order)
        raise cut_off
    return in_order


async def _outcomes(
    task: asyncio.Task[list[Result[Receipt, Problem]]], size: int
) -> Sequence[Result[Receipt, Problem]]:
    """Return what a task has come to, which is done; a bug in it is raised."""
    try:
        return task.result()
    except asyncio.CancelledError as exc:
        unsent = Failure(Unreachable("send", WHILE_UNSENT))
        return outcomes_of_group(exc) or [unsent] * size


def delivery_of(prepared: Result[EncodedEvent, Problem]) -> Delivery:
    """Return a new delivery of an event that comes without one."""
    return Delivery(order=prepared.unwrap().order if isinstance(prepared, Success) else None)


def in_place(
    prepared: Sequence[Result[EncodedEvent, Problem]], sent: Sequence[Result[Receipt, Problem]]
) -> list[Result[Receipt, Problem]]:
    """Return a verdict for each of *prepared*: the next of *sent*, or its own problem."""
    verdicts = iter(sent)
    return [
        next(verdicts) if isinstance(one, Success) else Failure(one.failure()) for one in prepared
    ]
