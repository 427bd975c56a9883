"""The pipeline, as far as the HTTP shell knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from returns.result import Result

from sonda.pipeline.deliver import now_ns
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.long_bodies import PreparingPipeline, prepare_in_turns
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Problem
from sonda.pipeline.wire_preview import Preview
from sonda.rejections import ShuttingDown
from sonda.resources.errors import RequestRejected


class PipelineProtocol(PreparingPipeline, AbstractAsyncContextManager[object], Protocol):
    """What a test may put another one in the place of."""

    async def deliver(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[Receipt, Problem]:
        """Deliver one event before the event loop's time *until_s*.

        Where it is cancelled, the delivery's `outcome` is what has become of the event.
        """
        ...

    async def send_prepared(
        self,
        prepared: Sequence[Result[EncodedEvent, Problem]],
        deliveries: Sequence[Delivery] = (),
        *,
        until_s: float | None = None,
        waits: bool = True,
    ) -> list[Result[Receipt, Problem]]:
        """Deliver many events, and return the outcome of each.

        Where it is cancelled, the cancellation's cause has them (`outcomes_of_group`).
        """
        ...

    async def preview(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[Preview, Problem]:
        """Return what would be sent."""
        ...


async def prepare(
    pipeline: PipelineProtocol,
    raw: bytes,
    delivery: Delivery | None,
    *,
    received_ns: int | None,
    caller: Caller,
) -> Result[EncodedEvent, Problem]:
    """Return what the pipeline's `prepare` does; a long body is prepared in turns.

    Raise `RequestRejected` with `ShuttingDown` where a shutdown cancels that: nothing has been sent.
    """
    time_ns = now_ns() if received_ns is None else received_ns
    try:
        return await prepare_in_turns(pipeline, raw, delivery, received_ns=time_ns, caller=caller)
    except asyncio.CancelledError:
        raise RequestRejected(ShuttingDown()) from None
