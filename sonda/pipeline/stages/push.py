"""Stage 5: hand the payload to its sink. The first stage that touches the world."""

from __future__ import annotations

import asyncio

from returns.result import Result

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import EncodedEvent, Pending
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem
from sonda.pipeline.unanswered import cut_off


async def push(
    parcel: EncodedEvent, *, transport: Network, until_s: float | None
) -> Result[Pending, Problem]:
    """Start the delivery, which ends at loop time *until_s* at the latest; fails as the sink does."""
    sink = parcel.order.sink
    deadline = Deadline.within(sink.timeout_s, until_s)
    try:
        pending: Result[Pending, Problem] = await sink.plugin.push(
            parcel.payload, transport.opened(sink), transport, deadline
        )
    except asyncio.CancelledError as exc:  # before the sink has begun to send
        explain(exc, cut_off(sink.target, f"send to {sink.target}", left=False, time_ns=0))
        raise
    return pending
