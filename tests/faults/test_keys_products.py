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
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import pytest

from tests.backends.conftest import installed
from tests.support.bodies import LOG, METRIC, changed

from .ledger import IS_FULL, Ledger, Row
from .play import until
from .products import KINDS, Product
from .test_keys import Phoenix, ask

EVENTS: Final = int(os.environ.get("KEYED_EVENTS", "10000" if IS_FULL else "1000"))
A_REQUEST: Final = 20
SENDERS: Final = 8
STOPS: Final = (("products",), ("server",), ("products", "server"), ("products", "server"))
"""What is killed at once, one stop after the other."""
KILLS: Final = sum(map(len, STOPS))  # that one product's events meet
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
        self.product = product
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
        await asyncio.gather(*(self._send(waiting) for _ in range(SENDERS)))

    async def restart(self) -> None:
        """Kill the product, and start it again after a moment."""
        self._is_up.clear()
        await asyncio.to_thread(self.product.kill)
        await asyncio.sleep(self._random.uniform(0.1, 0.5))
        await asyncio.to_thread(self.product.start)
        self._is_up.set()

    async def _send(self, waiting: Iterator[int]) -> None:
        sink = {**self.product.sink, "timeout": "20s"}
        for first in waiting:
            names = self.names[first : first + A_REQUEST]
            key = str(UUID(int=self._random.getrandbits(128)))
            statuses = [0]
            while set(statuses) != {200}:
                await self._is_up.wait()
                statuses = await ask(self._server, [event(it, sink) for it in names], key)
            self.statuses.update(zip(names, statuses, strict=True))


async def play(products: Sequence[Product], folder: Path, random: Random) -> list[Play]:
    """Send events to all products side by side, through one server, while they are killed."""
    server = Phoenix(folder, workers=1)
    plays = [Play(product, server, random) for product in products]
    await server.start()
    try:
        async with asyncio.TaskGroup() as sending:
            for playing in plays:
                sending.create_task(playing.run())
            for number, stop in enumerate(STOPS, 1):
                enough = EVENTS * number // (len(STOPS) + 1)
                await until(lambda: all(one.has_delivered(enough) for one in plays))  # noqa: B023
                async with asyncio.TaskGroup() as restarting:
                    if "server" in stop:
                        restarting.create_task(server.restart())
                    if "products" in stop:
                        for playing in plays:
                            restarting.create_task(playing.restart())
    finally:
        await server.close()
    return plays


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
def test_each_event_is_there_once(tmp_path: Path, random: Random, ledger: Ledger) -> None:
    """None twice, and each; of Loki's those that it has lost itself after its 204 may be missing.

    It loses whole pushes: one of the events of a request, or one in a hundred of many.
    """
    start_ns = time.time_ns() - 3_600 * 10**9
    with ExitStack() as stack:
        products = []
        for kind in PLACES:
            folder = tmp_path / kind.name
            folder.mkdir()
            products.append(stack.enter_context(kind.run(installed(kind.backend), folder)))
        plays = asyncio.run(play(products, tmp_path / "state", random))
        found = [look_for(playing.names, playing.product, start_ns) for playing in plays]
    for (kind, place), playing, seen in zip(PLACES.items(), plays, found, strict=True):
        ledger.record(
            place,
            Row(fired=KILLS, events=EVENTS, delivered=len(playing.statuses), found=len(seen)),
        )
        assert set(seen.values()) == {1}
        assert set(seen) <= set(playing.names)
        missing = EVENTS - len(seen)
        assert missing <= (0 if kind.keeps_all else max(EVENTS // 100, A_REQUEST))
