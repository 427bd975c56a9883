"""Keys at real destinations: the server and the destination are killed, and each event is there once.

The events have no time of their own: a second delivery that did not keep the first one's time would
be a second entry.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from tests.backends.conftest import installed
from tests.support.bodies import LOG, METRIC, changed

from .ledger import IS_FULL, Ledger, Row
from .play import until
from .products import KINDS, Kind, Product
from .test_keys import Phoenix, ask

EVENTS: Final = int(os.environ.get("KEYED_EVENTS", "10000" if IS_FULL else "1000"))
A_REQUEST: Final = 20
SENDERS: Final = 8
KILLS: Final = 3  # of each
PLACES: Final = {
    kind: (kind.sink, f"repeated with keys, a real {kind.name} and the server are killed")
    for kind in KINDS
    if kind.sink in ("loki", "remote_write")
}
OFFSETS: Final = tuple(PLACES.values())
_NAME: Final = re.compile("ev-[0-9a-f]{8}-[0-9]+")


def event(name: str, sink: dict[str, Any]) -> dict[str, Any]:
    """Write an event that is found by its name, and leaves its time to the server."""
    if sink["type"] == "loki":
        return changed(LOG, sink=sink, labels={"app": "keys"}, log__message=name)
    return changed(
        METRIC,
        sink=sink,
        encoder={"type": "remote_write"},
        labels={"event": name},
        metric__name="faults_total",
    )


class Play:
    """Sends all events, each request again and again with its key until its server and destination say yes."""

    def __init__(self, product: Product, server: Phoenix, random: Random) -> None:
        self._product = product
        self._server = server
        self._random = random
        self._is_up = asyncio.Event()
        self._is_up.set()
        self.statuses: dict[str, int] = {}
        self.names = [f"ev-{random.getrandbits(32):08x}-{number}" for number in range(EVENTS)]

    def has_delivered(self, enough: int) -> bool:
        return len(self.statuses) >= enough

    async def run(self) -> None:
        waiting = iter(range(0, EVENTS, A_REQUEST))
        async with httpx.AsyncClient(
            timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
        ) as client:
            senders = [asyncio.create_task(self._send(client, waiting)) for _ in range(SENDERS)]
            for kill in range(2 * KILLS):
                enough = EVENTS * (kill + 1) // (2 * KILLS + 2)
                await until(partial(self.has_delivered, enough))
                if kill % 2:
                    await self._server.kill()
                    await self._server.start()
                else:
                    self._is_up.clear()
                    await asyncio.to_thread(self._product.kill)
                    await asyncio.sleep(self._random.uniform(0.1, 0.5))
                    await asyncio.to_thread(self._product.start)
                    self._is_up.set()
            await asyncio.gather(*senders)

    async def _send(self, client: httpx.AsyncClient, waiting: Any) -> None:
        sink = {**self._product.sink, "timeout": "20s"}
        for first in waiting:
            names = self.names[first : first + A_REQUEST]
            key = str(UUID(int=self._random.getrandbits(128)))
            statuses = [0]
            while set(statuses) != {200}:
                await self._is_up.wait()
                statuses = await ask(client, self._server, [event(it, sink) for it in names], key)
            self.statuses.update(zip(names, statuses, strict=True))


async def play(product: Product, folder: Path, random: Random) -> Play:
    server = Phoenix(folder, workers=1)
    playing = Play(product, server, random)
    await server.start()
    try:
        await playing.run()
    finally:
        await server.close()
    return playing


def counts(found: set[Hashable]) -> Counter[str]:
    """Return how often each event is there, by its name."""
    return Counter(name for one in found for name in set(_NAME.findall(str(one))))


def look_for(names: list[str], product: Product, start_ns: int) -> Counter[str]:
    """Return what is there, once all is, or else after some patience."""
    seen: Counter[str] = Counter()

    def is_all_there() -> bool:
        nonlocal seen
        seen = counts(product.found(start_ns))
        return len(seen) == len(names)

    asyncio.run(until(is_all_there))
    return seen


@pytest.mark.backend
@pytest.mark.parametrize("kind", PLACES, ids=lambda kind: kind.name)
def test_each_event_is_there_once(
    kind: Kind, tmp_path: Path, random: Random, ledger: Ledger
) -> None:
    """None twice, and each; of Loki's those that it has lost itself after its 204 may be missing."""
    start_ns = time.time_ns() - 3_600 * 10**9
    (tmp_path / "product").mkdir()
    with kind.run(installed(kind.backend), tmp_path / "product") as product:
        playing = asyncio.run(play(product, tmp_path / "state", random))
        found = look_for(playing.names, product, start_ns)
    ledger.record(
        PLACES[kind],
        Row(fired=2 * KILLS, events=EVENTS, delivered=len(playing.statuses), found=len(found)),
    )
    assert set(found.values()) == {1}
    assert set(found) <= set(playing.names)
    missing = EVENTS - len(found)
    assert missing <= (0 if kind.keeps_all else EVENTS // 100)
