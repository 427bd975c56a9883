"""Stages 5 and 6: hand the payload to its sink, and wait until the destination has said yes or no.

Push is the first stage that touches the world.
"""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, EncodedEvent, Pending, Receipt, ValidatedEvent
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem
from sonda.pipeline.unknown_or_unsent import cut_off


async def push(
    encoded: EncodedEvent, *, network: Network, until_s: float | None
) -> Result[Pending, Problem]:
    """Start the delivery, which ends at loop time *until_s* at the latest; fails as the sink does."""
    sink = encoded.validated.sink
    now_s, span_s = network.loop.time(), sink.timeout_s
    if until_s is not None:
        span_s = max(0.0, min(span_s, until_s - now_s))
    deadline = Deadline(now_s + span_s, span_s)
    opened = network.kept.get(sink.key)
    if opened is None:
        opened = network.opened(sink)
    try:
        pending: Result[Pending, Problem] = await sink.plugin.push(
            encoded.payload, opened, network, deadline
        )
    except asyncio.CancelledError as exc:  # before the sink has begun to send
        explain(exc, cut_off(sink.target, f"send to {sink.target}", has_left=False, time_ns=0))
        raise
    return pending


async def flush(
    pending: Pending, validated: ValidatedEvent, *, began_ns: int
) -> Result[Receipt, Problem]:
    """Wait for the verdict on the event; *began_ns* is when encoding began, on `perf_counter_ns`.

    Fails with `Forbidden`, `Unreachable`, `Refused` or `OutcomeUnknown`.
    """
    try:
        verdict = await pending()
    except asyncio.CancelledError as exc:  # a sink that knows better has said so
        target, time_ns = validated.sink.target, validated.event.time_ns
        explain(exc, cut_off(target, "", has_left=True, time_ns=time_ns))
        raise
    if isinstance(verdict, Success):
        return Success(receipt_of(validated, verdict.unwrap(), perf_counter_ns() - began_ns))
    return Failure(verdict.failure())


def receipt_of(validated: ValidatedEvent, ack: Ack, latency_ns: int) -> Receipt:
    """Return the receipt for a delivered event; the latency runs from the start of encoding."""
    return Receipt(
        signal_type=validated.event.signal_type,
        confirmed=ack.confirmed,
        time_ns=validated.event.time_ns,
        tries=ack.tries,
        latency_us=latency_ns // 1000,
        status=ack.status,
        place=ack.place,
        offset=ack.offset,
        warnings=validated.warnings + ack.warnings,
    )
