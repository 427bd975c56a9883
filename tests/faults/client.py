"""A client that posts many events at once, to a real `sonda-server` or straight to a pipeline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from sonda.http_answers import Form, delivered, failed
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.result import fold

from .oracle import Answer

AT_ONCE: Final = 200


class Poster(Protocol):
    """Whatever takes an event and answers as `POST /events` does."""

    async def post(self, document: dict[str, Any]) -> Answer:
        """Post one event."""
        ...


@dataclass(frozen=True, slots=True)
class Direct:
    """Hands events to a pipeline in this process, where name resolution can be steered."""

    pipeline: Pipeline

    async def post(self, document: dict[str, Any]) -> Answer:
        """Deliver, and answer as the server would."""
        outcome = await self.pipeline.deliver(written(document))
        answer = fold(outcome, partial(delivered, form=Form()), partial(failed, form=Form()))
        return Answer(answer.status, json.loads(answer.body))


@dataclass(slots=True)
class Client:
    """Posts over kept connections: as many at once as it has."""

    port: int
    places: asyncio.Semaphore
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    posted: int = 0

    async def post(self, document: dict[str, Any]) -> Answer:
        """Post one event and wait for its answer, on a connection of its own meanwhile."""
        body = written(document)
        async with self.places:
            reader, writer = await self._connection()
            writer.write(
                b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            self.posted += 1
            try:
                answer = await read_answer(reader)
            except BaseException:
                writer.close()
                raise
            self.idle.append((reader, writer))
        return answer

    async def is_healthy(self) -> bool:
        """Ask `GET /health`; once it is answered, what was posted before has been read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await read_answer(reader)
        writer.close()
        return answer == Answer(200, {"status": "ok"})

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.idle:
            return self.idle.pop()
        return await asyncio.open_connection("127.0.0.1", self.port)


def written(document: dict[str, Any]) -> bytes:
    """Write a body."""
    return json.dumps(document, ensure_ascii=False).encode()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer; raises `IncompleteReadError` if the server hangs up instead."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").lower().split("\r\n")
    (length,) = (int(text[15:]) for text in headers if text.startswith("content-length:"))
    return Answer(int(line.split()[1]), json.loads(await reader.readexactly(length)))


@asynccontextmanager
async def client(port: int, *, at_once: int = AT_ONCE) -> AsyncIterator[Client]:
    """Post to the server on *port* until the block ends."""
    posting = Client(port, asyncio.Semaphore(at_once))
    try:
        yield posting
    finally:
        for _, writer in posting.idle:
            writer.close()
