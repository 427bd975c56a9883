"""How a run hands groups of events to the pipeline, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from weakref import WeakValueDictionary

from returns.result import Failure, Result, Success

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.rendering import Piece, how_pieces_go, pieces
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.unknown_or_unsent import cut_off

if TYPE_CHECKING:
    from sonda.pipeline.deliver import Pipeline


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """What became of a group: each event that is not among *problems* has been delivered."""

    problems: dict[int, Problem] = field(default_factory=dict)
    """By place in the group."""
    delivered_bytes: int = 0
    pushes: int = 1


class PendingGroup(Protocol):
    """Events of one entry on their way together."""

    async def send(self) -> GroupVerdict:
        """Send the events; return once each has a verdict."""
        ...

    def cut_off(self) -> None:
        """Make `send` return now, with what is known of each event."""
        ...


class Sender(Protocol):
    """What a run sends through."""

    def group(self, entry: Entry, ticks: Sequence[int]) -> PendingGroup:
        """Make and encode the events of *ticks*, so that they can be sent."""
        ...


class PipelineSender:
    """Sends through a pipeline in this process."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def group(self, entry: Entry, ticks: Sequence[int]) -> PendingGroup:
        takes = how_pieces_go(entry)
        made: Sequence[Piece] = ()
        if takes is not None and isinstance(ticks, range):
            made = pieces(entry, ticks, takes)
        if made:
            work = partial(self._send_pieces, entry, ticks, made)
        else:
            work = partial(self._send_each, entry, _encoded(entry, ticks))
        turn = None
        if takes is not None and takes.ascending:
            turn = self._turns.setdefault(entry.id, asyncio.Lock())
        return _PipelineGroup(work, len(ticks), entry.route.sink.target, turn)

    async def _send_pieces(
        self, entry: Entry, ticks: Sequence[int], made: Sequence[Piece]
    ) -> GroupVerdict:
        """Send pieces; one that is refused for what may be one event's fault goes again, event by event."""
        deliveries = [Delivery.of(piece.encoded.validated) for piece in made]
        results = await self._results(entry, [Success(piece.encoded) for piece in made], deliveries)
        problems: dict[int, Problem] = {}
        delivered_bytes = first = 0
        for piece, delivery, result in zip(made, deliveries, results, strict=True):
            places = range(first, first + piece.count)
            first = places.stop
            if isinstance(result, Success):
                delivered_bytes += piece.size_bytes
            elif rejected := _rejected(delivery):
                problems |= dict.fromkeys(places[-rejected:], result.failure())
                delivered_bytes += piece.size_bytes * (piece.count - rejected) // piece.count
            elif piece.count > 1 and _may_blame_one(delivery):
                own = _encoded(entry, ticks[places.start : places.stop])
                again = await self._send_each(entry, own)
                problems |= {places[place]: one for place, one in again.problems.items()}
                delivered_bytes += again.delivered_bytes
            else:
                problems |= dict.fromkeys(places, result.failure())
        return GroupVerdict(problems, delivered_bytes)

    async def _send_each(
        self, entry: Entry, encoded: Sequence[Result[EncodedEvent, Problem]]
    ) -> GroupVerdict:
        results = await self._results(entry, encoded, ())
        problems = {
            place: result.failure()
            for place, result in enumerate(results)
            if isinstance(result, Failure)
        }
        delivered_bytes = sum(
            len(one.unwrap().payload.body)
            for one, result in zip(encoded, results, strict=True)
            if isinstance(result, Success)
        )
        return GroupVerdict(problems, delivered_bytes)

    async def _results(
        self,
        entry: Entry,
        encoded: Sequence[Result[EncodedEvent, Problem]],
        deliveries: Sequence[Delivery],
    ) -> Sequence[Result[Receipt, Problem]]:
        """Return what has become of each payload; a cancellation ends it with what is known of it."""
        try:
            return await self._pipeline.send_prepared(encoded, deliveries)
        except asyncio.CancelledError as exc:
            unknown = partial(_unknown, entry.route.sink.target)
            return outcomes_of_group(exc) or list(map(unknown, encoded))


def _encoded(entry: Entry, ticks: Sequence[int]) -> list[Result[EncodedEvent, Problem]]:
    """Return each event of *ticks*, encoded alone."""
    if isinstance(ticks, range):
        return [encode(entry.route.validated_event(event)) for event in entry.events(ticks)]
    return [encode(entry.route.validated_event(entry.event(tick))) for tick in ticks]


def _rejected(delivery: Delivery) -> int:
    """Return how many of a piece were refused where the others were taken, and nobody tells which."""
    failure = delivery.failure
    return failure.rejected if failure is not None and delivery.unknown is None else 0


def _may_blame_one(delivery: Delivery) -> bool:
    """Return whether a piece was refused, and for what may be the fault of one of its events."""
    failure = delivery.failure
    return failure is not None and failure.per_event and delivery.unknown is None


def _unknown(target: str, one: Result[EncodedEvent, Problem]) -> Result[Receipt, Problem]:
    """Return the verdict on an event of which nothing is known; one not encoded has its own."""
    if isinstance(one, Failure):
        return Failure(one.failure())
    return Failure(cut_off(target, "", has_left=True, time_ns=one.unwrap().validated.event.time_ns))


class _PipelineGroup:
    """A group of *size* events whose *work* begins with its *turn*: at once, or after others."""

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, GroupVerdict]],
        size: int,
        target: str,
        turn: asyncio.Lock | None,
    ) -> None:
        self._work = work
        self._size = size
        self._target = target
        self._turn = turn
        self._task: asyncio.Task[GroupVerdict] | None = None

    async def send(self) -> GroupVerdict:
        self._task = asyncio.create_task(self._send_in_turn())
        await asyncio.wait({self._task})
        return self._task.result()

    def cut_off(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _send_in_turn(self) -> GroupVerdict:
        try:
            async with self._turn or nullcontext():
                return await self._work()
        except asyncio.CancelledError:  # before its turn has come: the work itself has a verdict
            unsent = cut_off(self._target, f"send to {self._target}", has_left=False, time_ns=0)
            return GroupVerdict(dict.fromkeys(range(self._size), unsent))


class OwnPipeline:
    """A sender with a pipeline of its own, opened and closed with it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        from sonda.pipeline.deliver import Pipeline

        self._sender = PipelineSender(await self._stack.enter_async_context(Pipeline()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def group(self, entry: Entry, ticks: Sequence[int]) -> PendingGroup:
        return self._sender.group(entry, ticks)
