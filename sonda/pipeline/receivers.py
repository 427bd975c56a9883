"""The receivers of many events, which are sent to side by side; to each one in the events' order."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from returns.result import Failure, Result

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.problems import Problem
from sonda.pipeline.turns import LIGHT, Turns
from sonda.pipeline.unknown_or_unsent import cut_off

_BEGUN_PER_TURN: Final = 8
"""Receivers, each of which is some tenths of a millisecond of work."""

Send: TypeAlias = Callable[
    [Sequence[EncodedEvent], Sequence[Delivery]], Awaitable[list[Result[Receipt, Problem]]]
]


class Receivers:
    """Events of any sinks: those for one receiver go in their order, receivers side by side.

    Of a destination's receivers no more are under way than it may have events, and some are begun
    in a turn of the event loop: ten thousand at once would keep it for seconds.
    """

    def __init__(
        self, events: Sequence[EncodedEvent], deliveries: Sequence[Delivery], send: Send
    ) -> None:
        self._events = events
        self._deliveries = deliveries
        self._send = send
        self._due: deque[deque[list[int]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._bug: BaseException | None = None
        self.results: dict[int, Result[Receipt, Problem]] = {}

    async def sort(self, most: int, turns: Turns) -> None:
        """Find the places of each receiver's events; a destination may have *most* under way."""
        known: dict[str, list[int]] = {}
        waiting: defaultdict[str, deque[list[int]]] = defaultdict(deque)
        for place, event in enumerate(self._events):
            sink = event.validated.sink
            if (places := known.get(sink.receiver)) is None:
                places = known[sink.receiver] = []
                of_destination = waiting[sink.destination]
                of_destination.append(places)
                if len(of_destination) <= most:
                    self._due.append(of_destination)
            places.append(place)
            if not place % LIGHT and turns.is_over:
                await turns.pause()

    async def send(self) -> None:
        """Send to every receiver; raise a bug of one, when the others are done."""
        while self._due or self._under_way:
            for _ in range(min(len(self._due), _BEGUN_PER_TURN)):
                if waiting := self._due.popleft():
                    self._begin(waiting)
            if self._due:
                await asyncio.sleep(0)
            elif self._under_way:
                self._ended.clear()
                await self._ended.wait()
        if self._bug is not None:
            raise self._bug

    def _begin(self, waiting: deque[list[int]]) -> None:
        """Begin to send to the next receiver of a destination; the one after it is due then."""
        task = asyncio.ensure_future(self._send_to(waiting.popleft()))
        self._under_way.add(task)
        task.add_done_callback(partial(self._on_end, waiting))

    def _on_end(self, waiting: deque[list[int]], task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._bug = self._bug or (None if task.cancelled() else task.exception())
        if waiting:
            self._due.append(waiting)
        self._ended.set()

    async def _send_to(self, places: list[int]) -> None:
        events = [self._events[place] for place in places]
        try:
            outcomes = await self._send(events, [self._deliveries[place] for place in places])
        except asyncio.CancelledError as exc:
            outcomes = list(outcomes_of_group(exc) or unsent_events(events))
            self.results.update(zip(places, outcomes, strict=True))
            raise
        self.results.update(zip(places, outcomes, strict=True))

    async def cancel(self) -> None:
        """Cut off what is under way; nothing more is begun."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def in_order(self) -> list[Result[Receipt, Problem]]:
        """Return the outcome of each event; one that was not begun is unsent."""
        return [
            self.results[place] if place in self.results else cut_off_event(event, has_left=False)
            for place, event in enumerate(self._events)
        ]


def cut_off_event(event: EncodedEvent, *, has_left: bool) -> Result[Any, Problem]:
    """Return what is known of an event that a cancellation has cut off."""
    target, time_ns = event.validated.sink.target, event.validated.event.time_ns
    return Failure(cut_off(target, f"send to {target}", has_left=has_left, time_ns=time_ns))


def unsent_events(events: Sequence[EncodedEvent]) -> list[Result[Receipt, Problem]]:
    """Return what is known of events that a cancellation keeps from being sent."""
    return [cut_off_event(event, has_left=False) for event in events]
