"""The queues of a sink whose events are not all alike: a batch has those of one kind alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from returns.result import Result

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Payload, Pending
from sonda.pipeline.net.batching import Queue, push_to, send_many_to
from sonda.pipeline.problems import Problem


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
