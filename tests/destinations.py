"""Small destinations of our own: they record what arrives, and answer as the path asks them to."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 10.0


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
            assert self._changed.wait_for(
                lambda: sum(map(len, self.items)) >= count, PATIENCE_S
            ), f"not {count} bytes: {self.items!r}"
            return b"".join(self.items)


@dataclass(frozen=True)
class Posted:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpDestination:
    """Answers 204; `/s/N` answers N; `/flaky/ID/N` answers 503 N times, and then 204."""

    url: str
    posts: Arrivals = field(default_factory=Arrivals)
    connections: Arrivals = field(default_factory=Arrivals)
    seen: Counter[str] = field(default_factory=Counter)


@contextmanager
def http_destination() -> Iterator[HttpDestination]:
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
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(answer)))
            if 300 <= status < 400:
                self.send_header("Location", f"{destination.url}/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def _status(self) -> int:
            match self.path.split("/")[1:]:
                case ["s", status, *_]:
                    return int(status)
                case ["flaky", name, times, *_]:
                    destination.seen[name] += 1
                    return 503 if destination.seen[name] <= int(times) else 204
                case _:
                    return 204

        def log_message(self, format: str, *args: object) -> None:
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
            _quietly(lambda peer=peer: peer.shutdown(socket.SHUT_RDWR))


@contextmanager
def udp_destination() -> Iterator[SocketDestination]:
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
