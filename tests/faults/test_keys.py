"""Requests that are repeated with their keys, through kills of the server and of its destination.

A destination that knows an entry by its time has each event exactly once; a webhook has none twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from tests.support.bodies import LOG, changed
from tests.support.serving import Serving, serving

from .ledger import IS_FULL, Ledger, Row
from .play import until

TRIES: Final = 5
KILLS: Final = 2
CUTS: Final = {1: True, 3: False}
"""The pushes that are not answered, and whether the destination has stored what was in them."""
EVENTS_A_ROUND: Final = 400 if IS_FULL else 120
ROUNDS: Final = 9 if IS_FULL else 1
SENDERS: Final = 16
NAME: Final = re.compile(rb"ev-[0-9a-f]{8}-[0-9]+")
WAYS: Final = {"one a request": (1, 1), "20 a request": (20, 1), "three workers": (1, 3)}
PAIRS: Final = [
    ("loki", "one a request"),
    ("loki", "20 a request"),
    ("http_push", "20 a request"),
    ("http_push", "three workers"),
]
OFFSETS: Final = tuple((sink, f"repeated through kills, {way}") for sink, way in PAIRS)


class StandIn:
    """Stores what is pushed; some pushes it does not answer, as if it were killed."""

    def __init__(self) -> None:
        self.url = ""
        self.stored: list[bytes] = []
        self.pushes = self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                assert length is not None
                body = await reader.readexactly(int(length[1]))
                self.pushes += 1
                if CUTS.get(self.pushes, True):
                    self.stored.append(body)
                if self.pushes in CUTS:
                    self.cuts += 1
                    break
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    def has(self, enough: int, sink: str) -> bool:
        """Return whether so many events have been stored."""
        return self.counts(sink).total() >= enough

    def counts(self, sink: str) -> Counter[bytes]:
        """Return how often each event is there, by its name."""
        if sink == "http_push":
            return Counter(name for body in self.stored for name in NAME.findall(body))
        entries = {
            (time_ns, line)
            for body in self.stored
            for stream in json.loads(body)["streams"]
            for time_ns, line in stream["values"]
        }
        return Counter(name for _, line in entries for name in NAME.findall(line.encode()))


@asynccontextmanager
async def standing_in() -> AsyncIterator[StandIn]:
    there = StandIn()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    there.url = f"http://{host}:{port}"
    try:
        yield there
    finally:
        server.close()


class Phoenix:
    """A server that is killed, all its processes at once, and started again where it was."""

    def __init__(self, folder: Path, workers: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        sizes = ("--port", str(self.port), "--workers", str(workers))
        self._flags = ("--state-dir", str(folder), *sizes)
        self._stack = ExitStack()
        self._server: Serving | None = None
        self.is_up = asyncio.Event()

    async def start(self) -> None:
        entering = asyncio.to_thread(self._stack.enter_context, serving(*self._flags))
        self._server = await entering
        self.is_up.set()

    async def kill(self) -> None:
        assert self._server is not None
        self.is_up.clear()
        os.killpg(self._server.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._server.wait)

    async def close(self) -> None:
        await asyncio.to_thread(self._stack.close)


async def ask(
    client: httpx.AsyncClient, server: Phoenix, events: Sequence[dict[str, Any]], key: str
) -> list[int]:
    """Send events in one request, up to five times; return the status of each, 0 for none."""
    lines = [json.dumps(event) for event in events]
    media_type = "application/json" if len(lines) == 1 else "application/x-ndjson"
    headers = {"Content-Type": media_type, "Idempotency-Key": key}
    url = f"http://127.0.0.1:{server.port}/events"
    statuses = [0] * len(lines)
    for _ in range(TRIES):
        await server.is_up.wait()
        try:
            answer = await client.post(url, content="\n".join(lines), headers=headers)
        except httpx.TransportError:
            await asyncio.sleep(0.05)  # until who has killed the server says so
            continue
        assert answer.status_code in (200, 207, 504), answer.text
        documents = [json.loads(line) for line in answer.text.splitlines()]
        statuses = [document.get("status", answer.status_code) for document in documents]
        if answer.status_code == 200:
            break
    return statuses


async def play(
    folder: Path, sink: str, way: str, random: Random
) -> tuple[StandIn, dict[bytes, int]]:
    """Send a round of events; return the destination, and the last status of each by its name."""
    size, workers = WAYS[way]
    server = Phoenix(folder, workers)
    prefix = f"ev-{random.getrandbits(32):08x}"
    names = [f"{prefix}-{number}" for number in range(EVENTS_A_ROUND)]
    told: dict[bytes, int] = {}
    async with (
        standing_in() as there,
        httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client,
    ):
        target = {"type": sink, "url": there.url}
        waiting = iter(range(0, len(names), size))

        async def send() -> None:
            for first in waiting:
                some = names[first : first + size]
                events = [changed(LOG, sink=target, log__message=name) for name in some]
                key = str(UUID(int=random.getrandbits(128)))
                statuses = await ask(client, server, events, key)
                told.update(zip((name.encode() for name in some), statuses, strict=True))

        await server.start()
        sending = [asyncio.create_task(send()) for _ in range(SENDERS)]
        try:
            for kill in range(KILLS):
                enough = EVENTS_A_ROUND * (kill + 1) // (KILLS + 2)
                await until(partial(there.has, enough, sink))
                await server.kill()
                await server.start()
            await asyncio.gather(*sending)
        finally:
            await server.close()
    return there, told


@pytest.mark.parametrize(("sink", "way"), PAIRS)
def test_repeated_with_its_key_each_event_is_there_once(
    sink: str, way: str, tmp_path: Path, random: Random, ledger: Ledger
) -> None:
    """At Loki each exactly once; at a webhook each that got a 200, and no other one twice."""
    for number in range(ROUNDS):
        there, told = asyncio.run(play(tmp_path / str(number), sink, way, random))
        counts = there.counts(sink)
        statuses = Counter(told.values())
        row = Row(
            fired=KILLS + there.cuts,
            events=len(told),
            delivered=statuses[200],
            unknown=statuses[504],
            found=len(counts),
        )
        ledger.record((sink, f"repeated through kills, {way}"), row)
        assert len(told) == EVENTS_A_ROUND
        assert set(statuses) <= ({200} if sink == "loki" else {200, 504})
        assert there.cuts
        assert {name for name, status in told.items() if status == 200} <= set(counts)
        assert set(counts.values()) == {1}
        assert set(counts) <= set(told)
