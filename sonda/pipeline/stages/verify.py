"""After the acknowledgement, where the body asks for it: read the event back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from time import perf_counter_ns
from typing import Any, Final, TypeVar

from msgspec.structs import replace
from returns.result import Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Confirmed, EncodedEvent, Receipt
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.addresses import address_of, parse_http_url
from sonda.pipeline.values.durations import seconds

T = TypeVar("T")

_CUT_OFF: Final = "the event was acknowledged, but the wait to read it back from {} was cut off"


def permit(event: EncodedEvent, network: Network) -> Result[EncodedEvent, Problem]:
    """Return *event* if its `verify.url` may be asked; fails with `Forbidden`."""
    verify = event.validated.verify
    if verify is None or verify.url is None:
        return Success(event)
    address = address_of(parse_http_url(verify.url))
    permitted = network.resolver.permit(event.validated.sink.name, address)
    return permitted.map(lambda _: event)


async def verify(
    event: EncodedEvent,
    receipt: Receipt,
    *,
    network: Network,
    until_s: float | None,
    survives_cancellation: bool,
) -> Receipt:
    """Return the receipt with what reading the event back has come to, where the body asks for it.

    It takes its `timeout` at the most, cut at loop time *until_s*. The event was acknowledged,
    whatever comes of this: with *survives_cancellation* a shutdown ends the wait, and no more.
    """
    asked = event.validated.verify
    if asked is None:
        return receipt
    from sonda.pipeline.verify import look_for
    from sonda.pipeline.verify.read_back import Verified, read_back

    target = event.validated.sink.target if asked.url is None else asked.url
    deadline = Deadline.within(seconds(asked.timeout), until_s)
    look = look_for(event, receipt, network, deadline)
    acknowledged_ns = perf_counter_ns()
    try:
        verified = await read_back(
            look, target=target, timeout_s=deadline.span_s, limit=str(deadline)
        )
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not survives_cancellation or task is None:
            raise
        task.uncancel()
        verified = Verified(None, _CUT_OFF.format(target))
    if verified.is_verified:
        visible_us = (perf_counter_ns() - acknowledged_ns) // 1000
        return replace(receipt, confirmed=Confirmed.QUERYABLE, verified=True, visible_us=visible_us)
    return replace(receipt, verified=False, warnings=(*receipt.warnings, verified.warning))


async def side_by_side(
    verifying: Iterable[Coroutine[Any, Any, T]], *, survives_cancellation: bool
) -> list[T]:
    """Read back several events at once; return what each has come to, in their order.

    With *survives_cancellation* a shutdown cuts each one short, as in `verify`, and is over then.
    """
    tasks = [asyncio.ensure_future(one) for one in verifying]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        own = asyncio.current_task()
        if not survives_cancellation or own is None:
            raise
        own.uncancel()
    return [task.result() for task in tasks]
