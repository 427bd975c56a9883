"""UDP has no acknowledgement, but a refusal that is known, and what was never sent, are told truly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import pytest
import uvloop

from sonda.pipeline.deliver import Pipeline
from tests.support.ports import free_ports
from tests.support.serving import Serving

from .client import Direct, Poster, client
from .faults import HANGING, NOWHERE, SLOW
from .ledger import FEWEST_OF_A_SINK, Ledger
from .oracle import Answer, Oracle, Outcome, Sent, Truth
from .play import until
from .resolver import install
from .wires import Lines, Messages, Wire

DELIVERED, _, NEVER_SENT, _ = Outcome
TOO_LONG: Final = 66_000
FAULTS: Final[dict[str, tuple[str, frozenset[Outcome]]]] = {
    # a refusal that comes a moment late is none any more
    "nobody listens": ("127.0.0.1", frozenset({NEVER_SENT, DELIVERED})),
    "it fits no datagram": ("127.0.0.1", frozenset({NEVER_SENT})),
    "the reader is too slow": ("127.0.0.1", frozenset({DELIVERED})),
    "the name does not resolve": (NOWHERE, frozenset({NEVER_SENT})),
    "the name resolves slowly": (SLOW, frozenset({DELIVERED})),
    "the name resolves too late": (HANGING, frozenset({NEVER_SENT})),
}
COUNT: Final = FEWEST_OF_A_SINK // len(FAULTS) + 1
OFFSETS: Final = tuple(("udp", name) for name in FAULTS)


class Collecting(asyncio.DatagramProtocol):
    """Notes every datagram."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take one."""
        self._truth.accepted[data] += 1
        self._truth.glimpse(data)


@asynccontextmanager
async def listening(truth: Truth, port: int = 0) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Collecting(truth), local_addr=("127.0.0.1", port)
    )
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


async def send(
    poster: Poster, wires: tuple[Wire, Wire], address: str, count: int, random: Random, **how: Any
) -> list[tuple[Sent, Answer]]:
    async def one(at: int) -> tuple[Sent, Answer]:
        sent = wires[at].event(
            {"type": "udp", "address": address, **how.get("options", {})}, **how["size"]
        )
        return sent, await poster.post(sent.document)

    return list(await asyncio.gather(*(one(random.randrange(2)) for _ in range(count))))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_datagram_is_a_lie(
    fault: str,
    server: Serving,
    random: Random,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A no means that no datagram has left; what arrives is as it was sent."""
    host, outcomes = FAULTS[fault]
    resolver = install(monkeypatch, random)

    async def work(poster: Poster) -> None:
        wires, truth = (Lines(random), Messages(random)), Truth()
        size = {"prefix": "~" * TOO_LONG} if fault == "it fits no datagram" else {}
        options = {"timeout": "300ms"} if host == HANGING else {}
        (port,) = free_ports(1, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", port))
            if fault == "the reader is too slow":  # until then nobody reads
                closed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            elif fault == "nobody listens":
                closed.close()
            else:
                closed.close()
                async with listening(truth, port):
                    asked = await send(
                        poster, wires, f"{host}:{port}", COUNT, random, size=size, options=options
                    )
                    await asyncio.sleep(0.1)
            if fault in ("the reader is too slow", "nobody listens"):
                asked = await send(poster, wires, f"{host}:{port}", COUNT, random, size=size)
        resolver.is_over.set()
        async with listening(truth, port):
            later = await send(poster, wires, f"{host}:{port}", 10, random, size={})
            await until(lambda: all(truth.accepted[sent.arrives] for sent, _ in later))
        truth.fired = resolver.fired or (
            len(asked) if outcomes == {DELIVERED} else sum(a.status == 502 for _, a in asked)
        )
        oracle = Oracle(truth, asked)
        ledger.record(("udp", fault), oracle.row())
        assert oracle.broken(outcomes, loses=True) == []
        assert Oracle(truth, later).broken({DELIVERED}) == []
        assert oracle.strangers({sent.arrives for sent, _ in later}) == []

    async def play() -> None:
        if host == "127.0.0.1":
            async with client(server.port) as posting:
                await work(posting)
        else:
            async with Pipeline() as pipeline:
                await work(Direct(pipeline))

    uvloop.run(play())
