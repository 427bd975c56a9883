"""Requests that are repeated with their keys, through kills of the server and of its destination.

A destination that knows an entry by its time has each event exactly once; a webhook has none twice.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Final, Self
from uuid import UUID

import pytest

from tests.support.bodies import LOG, changed
from tests.support.ports import free_ports
from tests.support.serving import PATIENCE_S, Serving, serving

from .ledger import IS_FULL, Ledger, Row

TRIES: Final = 5
KILLS: Final = 9 if IS_FULL else 2
CUTS: Final[tuple[bool | None, ...]] = (True, None, False, None)
"""Whether the first push since a kill is stored, though not answered; or else it is answered."""
EVENTS: Final = 3_600 if IS_FULL else 240  # of each pair
BETWEEN_KILLS: Final = EVENTS // (2 * KILLS + 2)
"""So many are stored before the next kill; a webhook never gets the rest of a batch that was cut short."""
NAME: Final = re.compile(rb"ev-[0-9a-f]{8}-[0-9]+")
SENDERS: Final = {1: 16, 20: 3}  # by the events of a request
SERVERS: Final[dict[int, list[tuple[str, int, str]]]] = {
    1: [
        ("loki", 1, "one a request"),
        ("loki", 20, "20 a request"),
        ("http_push", 20, "20 a request"),
    ],
    3: [("http_push", 1, "three workers")],
}
"""What is sent side by side through one server, by its number of workers: sink, size, words."""
OFFSETS: Final = tuple(
    (sink, f"repeated through kills, {way}") for pairs in SERVERS.values() for sink, _, way in pairs
)


class StandIn:
    """Stores what is pushed; some pushes it does not answer, as if it were killed.

    Once it has stored enough, it answers no more until it is released: a kill then finds all of
    them under way.
    """

    def __init__(self) -> None:
        self.url = ""
        self.stored: list[bytes] = []
        self.cuts = 0
        self.is_due = asyncio.Event()
        """Set when enough is stored for the next kill, or nothing is sent any more."""
        self._expected: float = BETWEEN_KILLS
        self._cut: bool | None = CUTS[0]
        self._released = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def release(self) -> None:
        """Answer what waits."""
        self._released.set()

    def expect(self, events: float, *, cut: bool | None) -> None:
        """Start over after a kill."""
        self.release()
        self.is_due.clear()
        self._released = asyncio.Event()
        self._expected, self._cut = events, cut

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                assert length is not None
                body = await reader.readexactly(int(length[1]))
                cut, self._cut = self._cut, None
                if cut is not False:
                    self.stored.append(body)
                    self._expected -= len(NAME.findall(body))
                if self._expected <= 0:
                    self.is_due.set()
                if cut is not None:
                    self.cuts += 1
                    break
                if self.is_due.is_set():
                    await self._released.wait()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

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


class Phoenix:
    """A server that is killed, all its processes at once, and started again where it was."""

    def __init__(self, folder: Path, workers: int) -> None:
        (self.port,) = free_ports(1)
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

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._stack.close)


async def post(port: int, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Post on a connection of its own; return status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        fields = {**headers, "Host": f"127.0.0.1:{port}", "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"POST /events HTTP/1.1\r\n{lines}\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, head
        return int(head.split()[1]), await reader.readexactly(int(length[1]))
    finally:
        writer.close()


async def ask(server: Phoenix, events: Sequence[dict[str, Any]], key: str) -> list[int]:
    """Send events in one request, up to five times; return the status of each, 0 for none."""
    body = "\n".join(map(json.dumps, events)).encode()
    media_type = "application/json" if len(events) == 1 else "application/x-ndjson"
    headers = {"Content-Type": media_type, "Idempotency-Key": key}
    statuses = [0] * len(events)
    for _ in range(TRIES):
        await server.is_up.wait()
        try:
            async with asyncio.timeout(60):
                status, answer = await post(server.port, body, headers)
        except (OSError, asyncio.IncompleteReadError):
            continue
        assert status in (200, 207, 504), answer
        documents = [json.loads(line) for line in answer.splitlines()]
        statuses = [document.get("status", status) for document in documents]
        if status == 200:
            break
    return statuses


class Play:
    """The events of one sink, and those who send them through a server that others use, too."""

    def __init__(self, sink: str, size: int, random: Random) -> None:
        self.there = StandIn()
        self.told: dict[bytes, int] = {}
        """The last status of each event by its name."""
        self.kills = 0
        """How many kills found it at work."""
        self._sink = sink
        self._size = size
        self._random = random
        self._prefix = f"ev-{random.getrandbits(32):08x}"
        self.is_over = False

    async def run(self, server: Phoenix) -> None:
        """Send all."""
        waiting = iter(range(0, EVENTS, self._size))
        await asyncio.gather(*(self._send(server, waiting) for _ in range(SENDERS[self._size])))
        self.is_over = True
        self.there.is_due.set()

    async def _send(self, server: Phoenix, waiting: Iterator[int]) -> None:
        target = {"type": self._sink, "url": self.there.url}
        for first in waiting:
            names = [f"{self._prefix}-{first + number}" for number in range(self._size)]
            events = [changed(LOG, sink=target, log__message=name) for name in names]
            key = str(UUID(int=self._random.getrandbits(128)))
            statuses = await ask(server, events, key)
            self.told.update(zip((name.encode() for name in names), statuses, strict=True))

    def next(self, kill: int) -> None:
        """Go on after a kill, the first of which is 0."""
        self.kills += not self.is_over
        expected = math.inf if kill == KILLS - 1 else BETWEEN_KILLS
        self.there.expect(expected, cut=CUTS[(kill + 1) % len(CUTS)])
        if self.is_over:
            self.there.is_due.set()


async def kill(server: Phoenix, plays: Sequence[Play], random: Random) -> None:
    """Kill it once all are at work, where none has an answer or some have it just now."""
    async with asyncio.timeout(3 * PATIENCE_S):
        for play in plays:
            await play.there.is_due.wait()
    for play in plays:
        if random.random() < 0.5:
            play.there.release()
    await asyncio.sleep(random.choice((0, random.uniform(0, 0.02))))
    await server.kill()


async def run(folder: Path, workers: int, plays: Sequence[Play], random: Random) -> None:
    """Send the events of all, side by side, while the server is killed again and again."""
    server = Phoenix(folder, workers)
    async with AsyncExitStack() as stack:
        for play in plays:
            await stack.enter_async_context(play.there)
        stack.push_async_callback(server.close)
        await server.start()
        async with asyncio.TaskGroup() as sending:
            for play in plays:
                sending.create_task(play.run(server))
            for number in range(KILLS):
                await kill(server, plays, random)
                for play in plays:
                    play.next(number)
                await server.start()


@pytest.mark.parametrize("workers", SERVERS)
def test_repeated_with_its_key_each_event_is_there_once(
    workers: int, tmp_path: Path, random: Random, ledger: Ledger
) -> None:
    """At Loki each exactly once; at a webhook each that got a 200, and no other one twice."""
    plays = [Play(sink, size, random) for sink, size, _ in SERVERS[workers]]
    asyncio.run(run(tmp_path, workers, plays, random))
    for (sink, _, way), play in zip(SERVERS[workers], plays, strict=True):
        counts = play.there.counts(sink)
        statuses = Counter(play.told.values())
        row = Row(
            fired=play.kills + play.there.cuts,
            events=len(play.told),
            delivered=statuses[200],
            unknown=statuses[504],
            found=len(counts),
        )
        ledger.record((sink, f"repeated through kills, {way}"), row)
        assert len(play.told) == EVENTS
        assert set(statuses) <= ({200} if sink == "loki" else {200, 504})
        assert statuses[200]
        assert play.kills
        assert play.there.cuts
        assert {name for name, status in play.told.items() if status == 200} <= set(counts)
        assert set(counts.values()) == {1}
        assert set(counts) <= set(play.told)
