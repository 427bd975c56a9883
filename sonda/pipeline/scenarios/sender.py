"""How a run hands groups of events to the pipeline, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from returns.result import Failure, Result

from sonda.pipeline.interruption import WHILE_UNKNOWN, outcomes_of_group
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.problems import OutcomeUnknown, Problem
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.rendering import as_one, is_written_in_lines
from sonda.pipeline.stages.encode import encode

if TYPE_CHECKING:
    from sonda.pipeline.deliver import Pipeline


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """What became of a group: each event that is not among *problems* has been delivered."""

    problems: dict[int, Problem] = field(default_factory=dict)
    """By place in the group."""
    delivered_bytes: int = 0
    pushes: int = 1


class Group(Protocol):
    """Events of one entry on their way together."""

    async def send(self) -> GroupVerdict:
        """Send the events; return once each has a verdict."""
        ...

    def cut_off(self) -> None:
        """Make `send` return now, with what is known of each event."""
        ...


class Sender(Protocol):
    """What a run sends through."""

    def group(self, entry: Entry, ticks: Sequence[int]) -> Group:
        """Make and encode the events of *ticks*, so that they can be sent."""
        ...


class PipelineSender:
    """Sends through a pipeline in this process."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def group(self, entry: Entry, ticks: Sequence[int]) -> Group:
        if isinstance(ticks, range) and is_written_in_lines(entry):
            return _PieceGroup(self._pipeline, entry, [as_one(entry, ticks)], size=len(ticks))
        events = (
            entry.events(ticks)
            if isinstance(ticks, range)
            else [entry.event(tick) for tick in ticks]
        )
        encoded = [encode(entry.route.order(one)) for one in events]
        return _PipelineGroup(self._pipeline, entry, encoded)


class _PipelineGroup:
    """A group that the pipeline delivers as one, in its order and with one deadline."""

    def __init__(
        self, pipeline: Pipeline, entry: Entry, encoded: Sequence[Result[EncodedEvent, Problem]]
    ) -> None:
        self._pipeline = pipeline
        self._target = entry.route.sink.target
        self._encoded = encoded
        self._task: asyncio.Future[list[Result[Receipt, Problem]]] | None = None

    async def send(self) -> GroupVerdict:
        self._task = asyncio.ensure_future(self._pipeline.send_prepared(self._encoded))
        await asyncio.wait({self._task})
        problems: dict[int, Problem] = {}
        delivered_bytes = 0
        for place, result in enumerate(self._results(self._task)):
            if isinstance(result, Failure):
                problems[place] = result.failure()
            else:
                delivered_bytes += len(self._encoded[place].unwrap().payload.body)
        return GroupVerdict(problems, delivered_bytes)

    def _results(
        self, task: asyncio.Future[list[Result[Receipt, Problem]]]
    ) -> Sequence[Result[Receipt, Problem]]:
        """Return what a task has come to; a cancellation says what has become of each event."""
        try:
            return task.result()
        except asyncio.CancelledError as exc:
            outcomes = outcomes_of_group(exc)
            return [self._unknown(one) for one in self._encoded] if outcomes is None else outcomes

    def _unknown(self, one: Result[EncodedEvent, Problem]) -> Result[Receipt, Problem]:
        """Return the verdict on an event of which nothing is known; one not encoded has its own."""
        if isinstance(one, Failure):
            return Failure(one.failure())
        time_ns = one.unwrap().order.event.time_ns
        return Failure(OutcomeUnknown(self._target, WHILE_UNKNOWN, time_ns))

    def cut_off(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _PieceGroup(_PipelineGroup):
    """A group of *size* events that is written as one piece: it has one verdict."""

    def __init__(
        self,
        pipeline: Pipeline,
        entry: Entry,
        encoded: Sequence[Result[EncodedEvent, Problem]],
        *,
        size: int,
    ) -> None:
        super().__init__(pipeline, entry, encoded)
        self._size = size

    async def send(self) -> GroupVerdict:
        verdict = await super().send()
        problems = {place: one for one in verdict.problems.values() for place in range(self._size)}
        return GroupVerdict(problems, verdict.delivered_bytes)


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

    def group(self, entry: Entry, ticks: Sequence[int]) -> Group:
        return self._sender.group(entry, ticks)
