"""Stage 6: wait until the destination has said yes or no."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from returns.result import Failure, Result, Success

from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, Pending, Receipt, ValidatedEvent
from sonda.pipeline.problems import Problem
from sonda.pipeline.unanswered import cut_off


async def flush(
    pending: Pending, order: ValidatedEvent, *, began_ns: int
) -> Result[Receipt, Problem]:
    """Wait for the verdict on *order*; *began_ns* is when encoding began, on `perf_counter_ns`.

    Fails with `Forbidden`, `Unreachable`, `Refused` or `OutcomeUnknown`.
    """
    try:
        verdict = await pending()
    except asyncio.CancelledError as exc:  # a sink that knows better has said so
        target, time_ns = order.sink.target, order.event.time_ns
        explain(exc, cut_off(target, "", left=True, time_ns=time_ns))
        raise
    if isinstance(verdict, Success):
        return Success(receipt_of(order, verdict.unwrap(), perf_counter_ns() - began_ns))
    return Failure(verdict.failure())


def receipt_of(order: ValidatedEvent, ack: Ack, latency_ns: int) -> Receipt:
    """Return the receipt for *order*; the latency runs from the start of encoding."""
    return Receipt(
        signal_type=order.event.signal_type,
        confirmed=ack.confirmed,
        time_ns=order.event.time_ns,
        tries=ack.tries,
        latency_us=latency_ns // 1000,
        status=ack.status,
        place=ack.place,
        offset=ack.offset,
        warnings=order.warnings + ack.warnings,
    )
