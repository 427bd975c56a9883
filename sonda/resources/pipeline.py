"""The pipeline, as far as the HTTP shell knows it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from returns.result import Result

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import EncodedEvent, Preview, Receipt
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Problem


class PipelineProtocol(AbstractAsyncContextManager[object], Protocol):
    """What a test may put another one in the place of."""

    def prepare(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        received_ns: int | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[EncodedEvent, Problem]:
        """Return the encoded event of a body; no I/O."""
        ...

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
        self, raw: bytes, *, until_s: float | None = None, caller: Caller = ANYBODY
    ) -> Result[Preview, Problem]:
        """Return what would be sent."""
        ...
