"""Kafka brokers that misbehave, and how their rows are played: each batch is answered by a script."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from random import Random
from threading import Lock
from typing import Any, Final, TypeAlias

from tests.support.kafka_broker import (
    CLUSTER_UNAUTHORIZED,
    HANG,
    HANG_UP,
    INVALID_RECORD,
    MESSAGE_TOO_LARGE,
    NO_ERROR,
    NOT_ENOUGH_AFTER_APPEND,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    STALL,
    TOPIC_UNAUTHORIZED,
    Broker,
    Produced,
    kafka_broker,
)

from .destination import Destination, Peer
from .faults import (
    CONNECTION_FAULTS,
    DELIVERED,
    NAME_FAULTS,
    NEVER_SENT,
    REFUSED,
    UNKNOWN,
    Fault,
    accept_and_hang,
    end_at_once,
    fault,
    reset_at_once,
    unreachable,
)
from .oracle import Truth
from .play import Play
from .sinks import NetworkSink, Way
from .wires import Lines

Verdict: TypeAlias = int | str
FINAL: Final = (MESSAGE_TOO_LARGE, INVALID_RECORD, TOPIC_UNAUTHORIZED, CLUSTER_UNAUTHORIZED)
PASSING: Final = (NOT_LEADER, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND)


@dataclass
class Leader:
    """Says what becomes of each batch, from the broker's threads, and keeps the truth."""

    truth: Truth
    random: Random
    choose: Callable[[Random], Verdict]
    is_calm: bool = False
    _guard: Lock = field(default_factory=Lock)
    _kept: set[Produced] = field(default_factory=set)

    def __call__(self, produced: Produced) -> Verdict:
        """Judge one batch."""
        with self._guard:
            verdict = NO_ERROR if self.is_calm else self.choose(self.random)
            self.truth.fired += verdict != NO_ERROR
            for value in produced.values:
                self.truth.glimpse(value)
                if verdict == NO_ERROR:  # a batch that comes again is the same one
                    self.truth.accepted[value] += produced not in self._kept
                elif isinstance(verdict, int):
                    self.truth.refused[value] += 1
                else:
                    self.truth.unanswered[value] += 1
            if verdict == NO_ERROR:
                self._kept.add(produced)
        if verdict != NO_ERROR:
            time.sleep(0.002)  # so that others line up
        return verdict


def always(*verdicts: Verdict) -> Callable[[Random], Verdict]:
    """Choose one of these each time."""
    return lambda random: random.choice(verdicts)


def sometimes(*verdicts: Verdict) -> Callable[[Random], Verdict]:
    """Choose one of these every other time."""
    return lambda random: random.choice(verdicts) if random.random() < 0.5 else NO_ERROR


BATCHES: Final[tuple[tuple[Fault, Callable[[Random], Verdict]], ...]] = (
    (fault("errors that stay", unreachable, REFUSED), always(*FINAL)),
    (
        fault("errors that pass, at times", unreachable, DELIVERED, REFUSED, UNKNOWN),
        sometimes(*PASSING),
    ),
    (fault("hangs up on a batch", unreachable, UNKNOWN, timeout="1s"), always(HANG_UP)),
    (
        fault("hangs up on a batch at times", unreachable, DELIVERED, UNKNOWN),
        sometimes(HANG_UP),
    ),
    (
        fault("takes a batch and hangs", unreachable, UNKNOWN, NEVER_SENT, timeout="1s"),
        always(HANG),
    ),
    (
        fault("a connection says no more", unreachable, UNKNOWN, NEVER_SENT, timeout="1s"),
        always(STALL),
    ),
)
OF_BATCHES: Final = {one.name: choose for one, choose in BATCHES}


async def reset_within_the_greeting(peer: Peer) -> None:
    await peer.read_some(peer.there.random.randint(1, 10))
    peer.fire()
    peer.reset()


KAFKA: Final = NetworkSink(
    "kafka",
    (
        Way({"topic": "one"}, Lines),
        Way({"topic": "two", "key": "k"}, Lines),
        Way({"topic": "one", "headers": {"team": "a"}}, Lines),
    ),
    (
        replace(CONNECTION_FAULTS[0], timeout="500ms"),
        *(replace(one, timeout="1s") for one in CONNECTION_FAULTS[1:]),
        *(
            replace(
                one, script=unreachable, timeout="20s" if DELIVERED in one.outcomes else "500ms"
            )
            for one in NAME_FAULTS
        ),
        fault("reset at once", reset_at_once, NEVER_SENT, timeout="500ms"),
        fault("reset within the greeting", reset_within_the_greeting, NEVER_SENT, timeout="500ms"),
        fault("half-closes at once", end_at_once, NEVER_SENT, timeout="500ms"),
        fault("accepts and hangs", accept_and_hang, NEVER_SENT, timeout="500ms"),
        *(one for one, _ in BATCHES),
    ),
    accept_and_hang,
)


@dataclass
class BrokerPlay(Play):
    """A row of Kafka: batches are taken by a broker of our own."""

    running: ExitStack = field(default_factory=ExitStack)
    leader: Leader | None = None
    broker: Broker | None = None

    async def _break(self, there: Destination) -> None:
        choose = OF_BATCHES.get(self.fault.name)
        if choose is None and self.fault.script is not unreachable:
            await super()._break(there)
        elif self._secure:
            await there.listen(self.pki.context(self.fault.certificate))
        elif self.fault.listens:
            self._start(there, choose or always(NO_ERROR))

    async def _mend(self, there: Destination) -> None:
        there.calm.set()
        if self.resolver is not None:
            self.resolver.is_over.set()
            await asyncio.sleep(0.1)  # for the look-up that hangs, which events share
        if self.leader is None:
            await there.hang_up()
            await there.stop_listening()
            await asyncio.sleep(0.05)
            self._start(there, always(NO_ERROR))
        assert self.leader is not None
        self.leader.is_calm = True
        if self.broker is not None:
            await asyncio.to_thread(self.broker.hang_up)

    def _start(self, there: Destination, choose: Callable[[Random], Verdict]) -> None:
        self.leader = Leader(there.truth, self.random, choose)
        self.broker = self.running.enter_context(kafka_broker(port=there.port, script=self.leader))
        if self.fault.host:
            self.broker.leader = (self.fault.host, self.broker.port)

    async def aclose(self) -> None:
        """End the broker."""
        await asyncio.to_thread(self.running.close)

    def _target(self, there: Destination) -> dict[str, str]:
        return {"brokers": f"{self.fault.host or '127.0.0.1'}:{there.port}"}

    def _options(self, there: Destination, at: int, *, calm: bool) -> dict[str, Any]:
        options = super()._options(there, at, calm=calm)
        if calm and self._secure:  # the broker that takes its place speaks in clear
            del options["tls"]
        return options
