"""What a stand-in has seen."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final, Self

import cramjam  # what python-snappy stands on, with types

EVENT: Final = b"bench_event"  # every event that the benchmark sends contains this once


@dataclass(frozen=True, slots=True)
class Counts:
    """Connections, requests (datagrams; for tcp, reads) and events, since the start."""

    connections: int
    requests: int
    events: int

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.connections + other.connections,
            self.requests + other.requests,
            self.events + other.events,
        )

    def __sub__(self, earlier: Self) -> Self:
        return type(self)(
            self.connections - earlier.connections,
            self.requests - earlier.requests,
            self.events - earlier.events,
        )


@dataclass(slots=True)
class Tally:
    """The counters; they cost a request no more than a search through its body."""

    connections: int = 0
    requests: int = 0
    events: int = 0
    _compressed: list[bytes] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """Count a request and the events in it."""
        self.requests += 1
        self.events += body.count(EVENT)

    def take_compressed(self, body: bytes) -> None:
        """Count a request; the events in it once somebody asks."""
        self.requests += 1
        self._compressed.append(body)

    def counts(self) -> Counts:
        """Return what has been counted so far."""
        for body in self._compressed:
            self.events += bytes(cramjam.snappy.decompress_raw(body)).count(EVENT)
        self._compressed.clear()
        return Counts(self.connections, self.requests, self.events)


async def tell(tally: Tally) -> int:
    """Tell whoever connects to the port that is returned what has been counted so far."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counts = tally.counts()
        shown = {name: getattr(counts, name) for name in Counts.__slots__}
        writer.write(json.dumps(shown).encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


def read_counts(text: str | bytes) -> Counts:
    """Read what `tell` has told."""
    shown: dict[str, Any] = json.loads(text)
    return Counts(**shown)
