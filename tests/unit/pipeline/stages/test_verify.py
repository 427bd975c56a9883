"""Reading an event back: whom a body may have asked, and several at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from returns.result import Success

from sonda.pipeline.model import EncodedEvent, Payload, PluginRef, ValidatedEvent, Verify
from sonda.pipeline.net import AccessPolicy, Network
from sonda.pipeline.problems import Forbidden
from sonda.pipeline.stages.verify import permit, side_by_side
from tests.support.events import record

SERVER = AccessPolicy(Path("/srv"), Path("/srv"))
PLUGIN = PluginRef("loki", None, None, "{}")


def asking(verify: Verify | None) -> EncodedEvent:
    validated = ValidatedEvent(record(), PLUGIN, PLUGIN, verify=verify)
    return EncodedEvent(validated, Payload(validated.event, "json_lines", "text/plain", b""))


@pytest.mark.parametrize("verify", [None, Verify()])
def test_the_sinks_own_place_was_judged_before(verify: Verify | None) -> None:
    """Only a place that the body names besides is asked for here."""
    event = asking(verify)
    assert permit(event, Network(SERVER)) == Success(event)


def test_a_place_that_may_never_be_asked() -> None:
    """A server refuses a cloud's metadata address, as it does for a sink."""
    event = asking(Verify(url="http://169.254.169.254/loki"))
    problem = permit(event, Network(SERVER)).failure()
    assert isinstance(problem, Forbidden)


async def after(turns: int, result: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return result


def test_side_by_side() -> None:
    """The results come in the order of the events, whichever was seen first."""
    verifying = [after(5, 1), after(0, 2), after(2, 3)]
    assert asyncio.run(side_by_side(verifying, survives_cancellation=False)) == [1, 2, 3]


@pytest.mark.parametrize("survives", [True, False])
def test_a_shutdown_cuts_each_short(survives: bool) -> None:
    """An event that was acknowledged stays so; the user of the library, who gave up, hears of that."""

    async def cut_short() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cut short"
        raise AssertionError

    async def main() -> Any:
        task = asyncio.create_task(
            side_by_side([cut_short(), cut_short()], survives_cancellation=survives)
        )
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    assert asyncio.run(main()) == (["cut short"] * 2 if survives else None)
