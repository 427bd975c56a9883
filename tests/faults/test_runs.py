"""Every fault of a network sink under a run, in pieces: the ledger says what the destination has.

At any moment and at the end `delivered <= arrived <= delivered + unknown`, and the columns add up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest
import uvloop

from sonda.pipeline.scenarios.ledger import Ledger as Columns
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.states import RunLimits
from sonda.scenarios import load_scenario
from tests.support.wire import unsnap, write_request
from tests.support.wire_otlp import exported_logs

from .brokers import KAFKA, BrokerPlay
from .destination import Destination, Peer, Push, Script, destination
from .faults import POISON, Fault, rejecting_the_poisoned
from .ledger import IS_FULL
from .play import Pki, Play, until
from .resolver import install
from .rpc import OTLP_GRPC, RpcPlay
from .sinks import NETWORK_SINKS, NetworkSink

COUNT: Final = 90
DRAINS_S: Final = (0.3, 30.0)  # the second is for a busy machine, on which no fault has struck yet
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "http_push": {"batch_size": 1500},
    "loki": {"batch_size": 15},
    "remote_write": {"batch_size": 15},
    "otlp_http": {"batch_size": 15},
    "tcp": {},
    "kafka": {"headers": {"team": "a" * 5000}},
    "otlp_grpc": {"batch_size": 15},
}
"""How events share a push at each sink."""


LIBRARIES: Final = {
    f"{sink.type}-{fault.name}": (sink, fault)
    for sink in (KAFKA, OTLP_GRPC)
    for fault in sink.faults
}
"""Those whose protocol a library speaks have faults of their own."""
BY_CHANCE: Final = (
    "every other time 503",
    "every other time a reset",
    "every other time UNAVAILABLE",
    "errors that pass, at times",
    "hangs up on a batch at times",
    "half-closes idle",
)


def cases() -> Iterator[Any]:
    """Yield each fault with each sink, or in a short round with one: they take turns."""
    played: set[str] = set()
    for name, (sink, fault) in LIBRARIES.items():
        yield pytest.param(sink, fault, id=name)
    for sink in NETWORK_SINKS[::-1]:
        for place, fault in enumerate(sink.faults):
            is_turn = place % 4 == NETWORK_SINKS.index(sink) % 4 or sink is NETWORK_SINKS[0]
            if IS_FULL or (is_turn and fault.name not in played):
                played.add(fault.name)
                yield pytest.param(sink, fault, id=f"{sink.type}-{fault.name}")


def kept(there: Destination) -> int:
    """Return how many events the destination has."""
    return sum(times > 0 for times in there.truth.accepted.values())


async def rejecting_the_poisoned_alone(peer: Peer) -> None:
    """Keep the other records of a request, which is what a ledger takes it for."""
    while (push := await peer.push()) is not None:
        bad = [event for event in push.events if POISON in repr(event)]
        if not bad:
            await peer.accept(push)
            continue
        peer.fire()
        await peer.refuse(Push(b"", bad), b"")
        body = b'{"partialSuccess":{"rejectedLogRecords":"%d","errorMessage":"poison"}}' % len(bad)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        good = [event for event in push.events if event not in bad]
        await peer.accept(Push(b"", good), head % len(body) + body)


@dataclass
class RunPlay(Play):
    """A run in place of single events."""

    async def play(self, drain_s: float) -> tuple[Columns, bool]:
        """Play it; every poll is held against the destination as it is then.

        Return the ledger, and whether the fault has struck.
        """
        async with destination(
            self._numbers, self._script, self.random, healthy=self.sink.healthy
        ) as there:
            await self._break(there)
            scenario = load_scenario(self._document(there)).unwrap()
            async with Run(scenario, limits=RunLimits(drain_s=drain_s)) as run:
                async for progress in run:
                    columns = progress.ledger
                    if self.sink.type != "tcp":  # what it has handed over is read later
                        assert columns.delivered <= kept(there)
                columns = (await run.report()).unwrap().ledger
            there.calm.set()
            if self.resolver is not None:
                self.resolver.is_over.set()
            if not self.fault.loses:
                await until(lambda: columns.delivered <= kept(there))
            self._judge(there, columns)
            if self.fault.loses:
                await there.hang_up()
            await self.aclose()
            return columns, self._has_fired(there)

    def _judge(self, there: Destination, columns: Columns) -> None:
        truth = there.truth
        arrived = {number for number, times in truth.whole.items() if times > 0}
        assert columns.in_flight == columns.backlog == 0
        assert columns.due == sum(
            (columns.delivered, columns.rejected, columns.unknown, columns.skipped)
        )
        if not self.fault.loses:
            assert columns.delivered <= kept(there)
        assert kept(there) <= columns.delivered + columns.unknown
        assert len(arrived - truth.refused.keys()) <= columns.delivered + columns.unknown
        assert max(truth.accepted.values(), default=1) <= 1  # nothing is sent again after it

    @property
    def _script(self) -> Script:
        script = self.fault.script
        return rejecting_the_poisoned_alone if script is rejecting_the_poisoned else script

    def _has_fired(self, there: Destination) -> bool:
        """Return whether the fault was played; one by chance may strike none of a few pushes."""
        by_chance = self.fault.name in BY_CHANCE
        seen = there.truth.fired + (self.resolver.fired if self.resolver else 0)
        return seen > 0 or bool(self.fault.evidence) or by_chance

    def _document(self, there: Destination) -> dict[str, Any]:
        options = {**self._options(there, 0, calm=False), **OPTIONS[self.sink.type]}
        poison = POISON if self.fault.poisoned else ""
        words = ["", "", "", "", poison]
        if self.sink.type == "remote_write":
            what: dict[str, Any] = {
                "signal_type": "metrics",
                "generator": {"type": "step", "start": 0, "step_size": 1},
                "dynamic_labels": [{"key": "word", "values": [f"{one}x" for one in words]}],
                "encoder": {"type": "remote_write"},
            }
        else:
            what = {
                "signal_type": "logs",
                "log_generator": {
                    "type": "template",
                    "templates": [f"{one}ev-0000-{{tick}}." for one in words],
                },
                "encoder": {"type": "otlp" if "otlp" in self.sink.type else "json_lines"},
            }
        return {"name": "run", "rate": 100, "count": COUNT, "pace": "max", "sink": options, **what}

    def _numbers(self, received: bytes) -> list[Hashable]:
        """Return the events of a push, each by its number and what it says."""
        if self.sink.type == "remote_write":
            return [
                (value, *series.labels)
                for series in write_request(unsnap(received))
                for value, _ in series.samples
            ]
        if "otlp" in self.sink.type:
            return [record.body for record in exported_logs(received)]
        texts = received.decode().split("ev-0000-")
        return [
            (POISON if before.endswith(POISON) else "") + number.partition(".")[0]
            for before, number in pairwise(texts)
        ]


@dataclass
class BrokerRunPlay(RunPlay, BrokerPlay):
    """A run to Kafka."""


@dataclass
class RpcRunPlay(RunPlay, RpcPlay):
    """A run to a collector, by gRPC."""


PLAYS: Final[dict[str, type[RunPlay]]] = {"kafka": BrokerRunPlay, "otlp_grpc": RpcRunPlay}


@pytest.mark.parametrize(("sink", "fault"), list(cases()))
def test_the_ledger_is_true(
    sink: NetworkSink, fault: Fault, pki: Pki, random: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to a piece, each of its events is in the right column."""
    has_struck = False
    for drain_s in DRAINS_S:
        if not has_struck:
            resolver = install(monkeypatch, random) if fault.host else None
            play = PLAYS.get(sink.type, RunPlay)(sink, fault, random, pki, resolver)
            columns, has_struck = uvloop.run(play.play(drain_s))
            assert columns.due == COUNT
    assert has_struck
