"""Stage 6: wait until the destination has said yes or no."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from returns.result import Result

from sonda.pipeline.interruption import WHILE_UNKNOWN, explain
from sonda.pipeline.model import Ack, InFlight, Receipt, ValidatedEvent
from sonda.pipeline.problems import OutcomeUnknown, Problem
from sonda.pipeline.targets import target_of


async def flush(pushed: InFlight, *, began_ns: int) -> Result[Receipt, Problem]:
    """Wait for the verdict; *began_ns* is when encoding began, on `perf_counter_ns`.

    Fails with `Forbidden`, `Unreachable`, `Refused` or `OutcomeUnknown`.
    """
    event = pushed.order.event
    try:
        verdict = await pushed.pending()
    except asyncio.CancelledError as exc:  # a sink that knows better has said so
        target = target_of(pushed.order.sink)
        explain(exc, OutcomeUnknown(target, WHILE_UNKNOWN, event.time_ns))
        raise

    return verdict.map(lambda ack: receipt_of(pushed.order, ack, perf_counter_ns() - began_ns))


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
