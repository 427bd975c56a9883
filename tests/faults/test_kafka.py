"""The `kafka` sink under every fault that can befall it: connections, leaders and batches."""

from __future__ import annotations

from random import Random

import pytest
import uvloop

from sonda.pipeline.deliver import Pipeline
from tests.support.serving import Serving

from .brokers import KAFKA, BrokerPlay
from .client import Direct, client
from .faults import Fault
from .ledger import Ledger
from .play import Pki
from .resolver import Resolver, install

CASES = [pytest.param(fault, id=fault.name) for fault in KAFKA.faults]


@pytest.mark.parametrize("fault", CASES)
def test_no_promise_is_broken(
    fault: Fault,
    server: Serving,
    pki: Pki,
    random: Random,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer is true of each event, and once the fault is over events are delivered."""

    async def play(resolver: Resolver | None) -> list[str]:
        one = BrokerPlay(KAFKA, fault, random, pki, resolver)
        if resolver is None:
            async with client(server.port) as posting:
                row, broken = await one.run(posting)
        else:
            async with Pipeline() as pipeline:
                row, broken = await one.run(Direct(pipeline))
        ledger.record((KAFKA.type, fault.name), row)
        return broken

    assert uvloop.run(play(install(monkeypatch, random) if fault.host else None)) == []
