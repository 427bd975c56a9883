"""Every network sink under every fault that can befall it, through a real `sonda-server`."""

from __future__ import annotations

from random import Random

import pytest
import uvloop

from sonda.pipeline.deliver import Pipeline
from tests.support.serving import Serving

from .client import Direct, client
from .faults import Fault
from .ledger import Ledger
from .play import Pki, Play
from .resolver import install
from .sinks import NETWORK_SINKS, NetworkSink

CASES = [
    pytest.param(sink, fault, id=f"{sink.type}-{fault.name}")
    for sink in NETWORK_SINKS
    for fault in sink.faults
    if not fault.host
]
NAMES = [
    pytest.param(sink, fault, id=f"{sink.type}-{fault.name}")
    for sink in NETWORK_SINKS
    for fault in sink.faults
    if fault.host
]


@pytest.mark.parametrize(("sink", "fault"), CASES)
def test_no_promise_is_broken(
    sink: NetworkSink, fault: Fault, server: Serving, pki: Pki, random: Random, ledger: Ledger
) -> None:
    """Each answer is true of each event, and once the fault is over events are delivered."""

    async def play() -> list[str]:
        async with client(server.port) as posting:
            row, broken = await Play(sink, fault, random, pki).run(posting)
        ledger.record((sink.type, fault.name), row)
        return broken

    assert uvloop.run(play()) == []


@pytest.mark.parametrize(("sink", "fault"), NAMES)
def test_a_name_is_no_destination(
    sink: NetworkSink,
    fault: Fault,
    pki: Pki,
    random: Random,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a resolver does to an event is told truly, too; here it is one of our own."""
    resolver = install(monkeypatch, random)

    async def play() -> list[str]:
        async with Pipeline() as pipeline:
            row, broken = await Play(sink, fault, random, pki, resolver).run(Direct(pipeline))
        ledger.record((sink.type, fault.name), row)
        return broken

    assert uvloop.run(play()) == []
