"""Flush waits for the verdict, and makes the receipt of a yes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.interruption import explain, what_became
from sonda.pipeline.model import Ack, Confirmed, ValidatedEvent
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.stages.send import flush, receipt_of
from tests.support.events import record

ORDER = cast(
    "ValidatedEvent",
    SimpleNamespace(
        event=record(time_ns=7), sink=SimpleNamespace(target="a:1"), warnings=("it is old",)
    ),
)


def test_a_receipt_says_what_was_proved() -> None:
    """Warnings of validation come before the destination's; the latency is in microseconds."""
    ack = Ack(Confirmed.ACCEPTED, status=204, tries=2, warnings=("nearly full",))
    receipt = receipt_of(ORDER, ack, 1_999_999)
    assert (receipt.signal_type, receipt.confirmed, receipt.time_ns) == (
        "logs",
        Confirmed.ACCEPTED,
        7,
    )
    assert (receipt.tries, receipt.status, receipt.latency_us) == (2, 204, 1999)
    assert receipt.warnings == ("it is old", "nearly full")


def test_a_no_stays_a_no() -> None:
    """Flush adds nothing."""
    problem = Refused("a:1", "400 X")

    async def pending() -> Result[Ack, Problem]:
        return Failure(problem)

    assert asyncio.run(flush(pending, ORDER, began_ns=0)) == Failure(problem)


@pytest.mark.parametrize("knows_better", [True, False])
def test_cut_off_the_outcome_is_unknown(knows_better: bool) -> None:
    """The bytes were handed over; a sink that knows better has the first word."""
    unsent = Unreachable("connect to a:1", "its delivery was cut off")

    async def pending() -> Result[Ack, Problem]:
        try:
            return await asyncio.Future()
        except asyncio.CancelledError as exc:
            if knows_better:
                explain(exc, unsent)
            raise

    async def main() -> Problem | None:
        flushing = asyncio.ensure_future(flush(pending, ORDER, began_ns=0))
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await flushing
        return what_became(cut_off.value)

    unknown = OutcomeUnknown("a:1", "before its delivery was cut off", 7)
    assert asyncio.run(main()) == (unsent if knows_better else unknown)


def test_a_success_is_a_receipt() -> None:
    """With the time that it took."""

    async def pending() -> Result[Ack, Problem]:
        return Success(Ack(Confirmed.HANDED_OFF))

    receipt = asyncio.run(flush(pending, ORDER, began_ns=0)).unwrap()
    assert receipt.confirmed is Confirmed.HANDED_OFF
    assert receipt.latency_us > 0
