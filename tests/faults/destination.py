"""A destination that misbehaves as a script says, for thousands of events: it is asyncio's.

It keeps the truth: what it has read, and what it said to it. Before a yes is written down all of
it has been handed to the operating system, and a yes that is cut off is none.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from .oracle import Truth

YES: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_LONGEST_LINE_BYTES: Final = 1 << 24
_GOODBYE_S: Final = 1.0
_SMALL_BUFFER_BYTES: Final = 65536
"""Far less than a huge event. Into less than a segment of loopback the kernel would send again what
did not fit, after a wait that doubles each time, so that what was delivered comes too late to be found.
"""

Read: TypeAlias = Callable[[bytes], list[Hashable]]
"""Takes a push apart into what must be found."""


@dataclass
class Push:
    """One request, read whole, and the events in it."""

    body: bytes
    events: list[Hashable]


@dataclass
class Peer:
    """The destination's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    there: Destination
    state: str = "under way"

    async def push(self) -> Push | None:
        """Read one request; `None` at the end, and for one that breaks off."""
        truth = self.there.truth
        head = b""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            body = await self.reader.readexactly(_content_length(head))
        except asyncio.IncompleteReadError as exc:
            truth.glimpse(exc.partial)
            return None
        push = Push(body, self.there.read(body))
        truth.glimpse(repr(push.events).encode())  # what is compressed names nobody
        truth.unanswered.update(push.events)
        return push

    async def read_some(self, count: int) -> bytes:
        """Read up to *count* bytes of whatever comes."""
        received = b""
        while len(received) < count and (more := await self.reader.read(count - len(received))):
            received += more
        self.there.truth.glimpse(received)
        return received

    async def accept(self, push: Push, answer: bytes = YES) -> None:
        """Say yes."""
        self._judge(push, self.there.truth.accepted)
        await self.send(answer)

    async def refuse(self, push: Push, answer: bytes) -> None:
        """Say no."""
        self._judge(push, self.there.truth.refused)
        await self.send(answer)

    def _judge(self, push: Push, verdict: object) -> None:
        truth = self.there.truth
        truth.unanswered.subtract(push.events)
        (truth.accepted if verdict is truth.accepted else truth.refused).update(push.events)

    async def send(self, part: bytes) -> None:
        """Send *part*."""
        self.writer.write(part)
        await self.writer.drain()

    async def drip(self, answer: bytes, pause_s: float = 0.05) -> None:
        """Send a byte at a time."""
        for position in range(len(answer)):
            await self.send(answer[position : position + 1])
            await asyncio.sleep(pause_s)

    def end(self) -> None:
        """Say that nothing more will be said."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection off."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Do nothing until the destination calms down."""
        await self.there.calm.wait()

    def fire(self) -> None:
        """Count one more time that the fault has struck."""
        self.there.truth.fired += 1


Script: TypeAlias = Callable[[Peer], Awaitable[None]]
"""What happens to a connection."""


@dataclass
class Destination:
    """Serves connections by *script* until it is told to calm down; then it says yes to all.

    Its port stays its own while nobody listens on it: another test would be given it.
    """

    read: Read
    script: Script
    healthy: Script
    random: Random
    port: int
    truth: Truth = field(default_factory=Truth)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _peers: list[Peer] = field(default_factory=list)
    _failures: list[Exception] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it is, or will be."""
        return f"127.0.0.1:{self.port}"

    async def listen(self, tls: ssl.SSLContext | None = None, *, small: bool = False) -> None:
        """Accept connections; with *small* buffers a large event cannot vanish in them."""
        await self.stop_listening()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        listener.bind(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(
            self._serve,
            sock=listener,
            ssl=tls,
            backlog=1024,
            limit=_LONGEST_LINE_BYTES,
            ssl_shutdown_timeout=_GOODBYE_S if tls else None,
        )

    async def stop_listening(self) -> None:
        """Accept no more; others may listen on the port, if they reuse addresses."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._peers.append(peer)
        try:
            await (self.healthy if self.calm.is_set() else self.script)(peer)
            peer.state = "over"
        except OSError as exc:
            peer.state = f"broken: {exc!r}"
        except asyncio.CancelledError:  # by `hang_up` alone
            peer.state = "cut off"
            writer.transport.abort()
        except Exception as exc:  # noqa: BLE001  # a push that it cannot read, or a bug of the script
            self._failures.append(exc)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def hang_up(self) -> None:
        """Break all connections off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def describe(self) -> list[str]:
        """Tell how far its connections have got, and what the kernel holds of them, on Linux.

        It tells an event that is lost from one that is still on its way.
        """
        states = Counter(peer.state for peer in self._peers)
        port = f":{self.port:04X} "
        held = [line.strip() for line in _kernel_connections() if port in line]
        return [f"connections: {dict(states)}", *held]

    async def aclose(self) -> None:
        """Hang up on everybody; raises what the scripts did not expect."""
        self.calm.set()
        await self.stop_listening()
        await self.hang_up()
        if self._failures:
            raise ExceptionGroup("the destination met what it did not expect", self._failures)


def _kernel_connections() -> list[str]:
    table = Path("/proc/net/tcp")
    return table.read_text().splitlines() if table.exists() else []


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise AssertionError(f"a request without a length: {head!r}")


async def saying_yes(peer: Peer) -> None:
    """Take every request."""
    while (push := await peer.push()) is not None:
        await peer.accept(push)


@asynccontextmanager
async def destination(
    read: Read, script: Script, random: Random, *, healthy: Script = saying_yes
) -> AsyncIterator[Destination]:
    """Run a destination until the block ends; it does not listen yet."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        there = Destination(read, script, healthy, random, held.getsockname()[1])
        try:
            yield there
        finally:
            await there.aclose()
