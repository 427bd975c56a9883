"""Stage 5: hand the payload to its sink. The first stage that touches the world."""

from __future__ import annotations

import asyncio

from returns.result import Result

from sonda.pipeline.deadline import LONGEST_S, Deadline
from sonda.pipeline.interruption import WHILE_UNSENT, explain
from sonda.pipeline.model import EncodedEvent, InFlight, Pending
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem, Unreachable
from sonda.pipeline.targets import target_of
from sonda.pipeline.values.durations import seconds


async def push(
    parcel: EncodedEvent, *, transport: Network, until_s: float | None
) -> Result[InFlight, Problem]:
    """Start the delivery, which ends at loop time *until_s* at the latest; fails as the sink does."""
    sink = parcel.order.sink
    timeout = getattr(sink.options, "timeout", None)  # stdout and file have none of their own
    deadline = Deadline.within(seconds(timeout) if timeout else LONGEST_S, until_s)
    try:
        pending: Result[Pending, Problem] = await sink.plugin.push(
            parcel.payload, sink.options, transport, deadline
        )
    except asyncio.CancelledError as exc:  # before the sink has begun to send
        explain(exc, Unreachable(f"send to {target_of(sink)}", WHILE_UNSENT))
        raise
    return pending.map(lambda verdict: InFlight(parcel.order, verdict))
