"""Stage 6: wait until the destination has said yes or no."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from returns.result import Result

from sonda.pipeline.interruption import WHILE_UNKNOWN, explain
from sonda.pipeline.model import Ack, InFlight, Receipt
from sonda.pipeline.problems import OutcomeUnknown, Problem
from sonda.pipeline.targets import target_of


async def flush(pushed: InFlight, *, began_ns: int) -> Result[Receipt, Problem]:
    """Wait for the verdict; *began_ns* is when encoding began, on `perf_counter_ns`.

    Fails with `Forbidden`, `Unreachable`, `Refused` or `OutcomeUnknown`.
    """
    event, warnings = pushed.order.event, pushed.order.warnings
    try:
        verdict = await pushed.pending()
    except asyncio.CancelledError as exc:  # a sink that knows better has said so
        target = target_of(pushed.order.sink)
        explain(exc, OutcomeUnknown(target, WHILE_UNKNOWN, event.time_ns))
        raise

    def receipt(yes: Ack) -> Receipt:
        return Receipt(
            signal_type=event.signal_type,
            confirmed=yes.confirmed,
            time_ns=event.time_ns,
            tries=yes.tries,
            latency_us=(perf_counter_ns() - began_ns) // 1000,
            status=yes.status,
            place=yes.place,
            warnings=warnings + yes.warnings,
        )

    return verdict.map(receipt)
