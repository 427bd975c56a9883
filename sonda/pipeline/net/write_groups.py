"""Groups of blocking writes: many events for one destination, which line up together."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from time import perf_counter_ns

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import UNDER_WAY
from sonda.pipeline.interruption import InterruptedGroup
from sonda.pipeline.model import Payload
from sonda.pipeline.net.blocking_writers import enqueue_all
from sonda.pipeline.net.write_requests import Verdict, Writer, WriteRequest


async def write_many(
    payloads: Sequence[Payload], writer: Writer, destination: Hashable, deadline: Deadline
) -> list[Verdict]:
    """Write a group in its order; return the verdict on each event, in that order.

    The verdicts are those of `WriteRequest.verdict`. Cancelled, the cancellation's cause has each
    one's outcome (`outcomes_of_group`).
    """
    requests = [WriteRequest(writer, one.body, one.event.time_ns) for one in payloads]
    since_ns = perf_counter_ns()
    if requests:
        enqueue_all(requests, destination)
    loop = asyncio.get_running_loop()
    expiry = loop.call_at(deadline.at_s, _expire, requests, deadline)
    try:
        return [await request.wait() for request in requests]
    except asyncio.CancelledError as exc:
        outcomes = [request.cut_off() for request in reversed(requests)]
        exc.__cause__ = InterruptedGroup(outcomes[::-1])
        raise
    finally:
        expiry.cancel()
        for delivery, request in zip(
            UNDER_WAY.get(), requests, strict=False
        ):  # the library has none
            request.record(delivery, since_ns)


def _expire(requests: Sequence[WriteRequest], deadline: Deadline) -> None:
    """End the wait of all, from the last on: a thread must not find the second without the first."""
    for request in reversed(requests):
        request.expire(deadline)
