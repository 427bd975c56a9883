"""Small destinations of our own: they record what arrives, and answer as the path asks them to.

And how to deliver to them: `deliver`, and `run` for what needs a pipeline in its hands.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

import pytest
import uvloop
from msgspec import structs
from returns.result import Result

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Receipt
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.problems import Problem

PATIENCE_S = 60.0  # so long a test waits on a busy machine for what comes at once on another

T = TypeVar("T")
Outcome: TypeAlias = Result[Receipt, Problem]
NewLoop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]

both_loops: Final = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
TIMESTAMP: Final = "2026-11-23T08:00:00.123456789Z"
TIME_NS: Final = 1_795_420_800_123_456_789


def log_event(
    sink: Mapping[str, Any],
    message: str = "hello",
    *,
    encoder: str = "json_lines",
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write the body of a log event of the year 2026."""
    return {
        "signal_type": "logs",
        "timestamp": TIMESTAMP,
        "labels": labels or {},
        "log": {"severity": "info", "message": message},
        "encoder": {"type": encoder},
        "sink": sink,
    }


def json_line(message: str = "hello") -> bytes:
    """What `json_lines` makes of such an event without labels."""
    quoted = json.dumps(message, ensure_ascii=False).encode()
    return (
        b'{"timestamp":"2026-11-23T08:00:00.123Z","severity":"info","message":%b,'
        b'"labels":{},"fields":{}}\n' % quoted
    )


def run(
    work: Callable[[Pipeline], Awaitable[T]],
    *,
    loop: NewLoop = asyncio.new_event_loop,
    access_policy: AccessPolicy | None = None,
) -> T:
    """Do what needs a pipeline; fails if anything goes wrong behind the scenes."""
    behind_the_scenes: list[dict[str, Any]] = []

    async def main() -> T:
        running = asyncio.get_running_loop()
        running.set_exception_handler(lambda _, context: behind_the_scenes.append(context))
        async with Pipeline(access_policy=access_policy) as pipeline:
            return await work(pipeline)

    with asyncio.Runner(loop_factory=loop) as runner:
        done = runner.run(main())
    assert behind_the_scenes == [], behind_the_scenes
    return done


def deliver(
    *events: Mapping[str, Any],
    loop: NewLoop = asyncio.new_event_loop,
    access_policy: AccessPolicy | None = None,
) -> list[Outcome]:
    """Deliver events one after another through one pipeline; latencies come back as 0."""

    async def one_by_one(pipeline: Pipeline) -> list[Outcome]:
        return [await outcome(pipeline, event) for event in events]

    return run(one_by_one, loop=loop, access_policy=access_policy)


def at_once(
    sink: Mapping[str, Any], *messages: str, loop: NewLoop = asyncio.new_event_loop
) -> list[Outcome]:
    """Deliver log events to one sink all at once; latencies come back as 0."""

    async def together(pipeline: Pipeline) -> list[Outcome]:
        events = [log_event(sink, message) for message in messages]
        return await asyncio.gather(*(outcome(pipeline, event) for event in events))

    return run(together, loop=loop)


async def outcome(pipeline: Pipeline, event: Mapping[str, Any]) -> Outcome:
    """Deliver one event; its latency comes back as 0, so that outcomes can be compared whole."""
    delivered = await pipeline.deliver(json.dumps(event).encode())
    return delivered.map(lambda receipt: structs.replace(receipt, latency_us=0))


@dataclass
class Arrivals:
    """What has arrived so far; `wait_for` blocks until a condition on it holds."""

    items: list[Any] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait_for(self, count: int = 1) -> list[Any]:
        """Wait until *count* items are there; fails if they do not come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, PATIENCE_S), (
                f"{len(self.items)} of {count} arrived: {self.items!r}"
            )
            return list(self.items)

    def wait_for_bytes(self, count: int) -> bytes:
        """Wait until *count* bytes are there in all, and give what there is."""
        with self._changed:
            assert self._changed.wait_for(lambda: sum(map(len, self.items)) >= count, PATIENCE_S), (
                f"not {count} bytes: {self.items!r}"
            )
            return b"".join(self.items)


@dataclass(frozen=True)
class Posted:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpDestination:
    """Answers 204; `/s/N` answers N; `/flaky/ID/N` answers 503 N times, and then 204.

    `/echo/N` answers N with what it was asked, in several escapings.
    """

    url: str
    posts: Arrivals = field(default_factory=Arrivals)
    connections: Arrivals = field(default_factory=Arrivals)
    seen: Counter[str] = field(default_factory=Counter)


@contextmanager
def http_destination() -> Iterator[HttpDestination]:
    """Listen on a port of its own until the test is done with it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            destination.connections.add(self.client_address)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            destination.posts.add(Posted(self.path, headers, body))
            status = self._status()
            answer = b"" if status == 204 else b"destination says no"
            if self.path.startswith("/echo/"):
                asked = json.dumps({"path": self.path, **headers})
                answer = f"{asked} {quote(asked)} {json.dumps(asked)}".encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(answer)))
            if 300 <= status < 400:
                self.send_header("Location", f"{destination.url}/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def _status(self) -> int:
            match self.path.split("/")[1:]:
                case ["s" | "echo", status, *_]:
                    return int(status)
                case ["flaky", name, times, *_]:
                    destination.seen[name] += 1
                    return 503 if destination.seen[name] <= int(times) else 204
                case _:
                    return 204

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Say nothing: the tests ask the destination itself."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    destination = HttpDestination(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield destination
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@dataclass
class SocketDestination:
    """Records what arrives; for TCP also each connection, by its peer's address."""

    address: str
    received: Arrivals = field(default_factory=Arrivals)
    connections: Arrivals = field(default_factory=Arrivals)


@contextmanager
def tcp_destination() -> Iterator[SocketDestination]:
    """Read all that comes, on any number of connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    destination = SocketDestination(_address(listener))
    accepted: list[socket.socket] = []

    def read(peer: socket.socket) -> None:
        with peer:
            while received := _quietly(lambda: peer.recv(65536)):
                destination.received.add(received)

    def accept() -> None:
        while (pair := _quietly(listener.accept)) is not None:
            accepted.append(pair[0])
            destination.connections.add(pair[1])
            threading.Thread(target=read, args=pair[:1], daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield destination
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for peer in accepted:
            _quietly(partial(peer.shutdown, socket.SHUT_RDWR))


@contextmanager
def udp_destination() -> Iterator[SocketDestination]:
    """Take datagrams, but not empty ones."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    destination = SocketDestination(_address(sock))

    def read() -> None:
        while datagram := sock.recv(65536):
            destination.received.add(datagram)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield destination
    finally:
        sock.sendto(b"", sock.getsockname())  # an empty datagram ends the reader
        reading.join()
        sock.close()


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


def _quietly(call: Callable[[], Any]) -> Any:
    """Do without what a closed socket cannot give."""
    try:
        return call()
    except OSError:
        return None
