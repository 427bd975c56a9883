"""Destinations that misbehave as a script says: a TCP or TLS server, one script per connection."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import trustme

from tests.support.destinations import PATIENCE_S, Arrivals, Posted

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass
class Faulty:
    """Where the server listens, and what has come in; `turned_away` are failed TLS handshakes."""

    address: str
    port: int
    connections: Arrivals = field(default_factory=Arrivals)
    turned_away: Arrivals = field(default_factory=Arrivals)
    received: Arrivals = field(default_factory=Arrivals)
    posts: Arrivals = field(default_factory=Arrivals)
    ended: Arrivals = field(default_factory=Arrivals)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@dataclass
class Peer:
    """The server's side of one connection; scripts steer it."""

    sock: socket.socket
    server: Faulty
    _read_ahead: bytes = b""

    def read(self, count: int = 65536) -> bytes:
        """Read up to *count* bytes, and record them; none at the end."""
        received = self._read_ahead or self.sock.recv(count)
        self._read_ahead = received[count:]
        if received:
            self.server.received.add(received[:count])
        return received[:count]

    def read_exactly(self, count: int) -> None:
        """Read *count* bytes."""
        while count:
            received = self.read(count)
            assert received, "the client hung up"
            count -= len(received)

    def read_all(self) -> None:
        """Read until the client closes."""
        while self.read():
            pass

    def request(self) -> Posted | None:
        """Read one request with its body, and record it; `None` at the end."""
        while b"\r\n\r\n" not in self._read_ahead:
            received = self.sock.recv(65536)
            if not received:
                return None
            self._read_ahead += received
        head, _, body = self._read_ahead.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        while len(body) < length:
            received = self.sock.recv(65536)
            if not received:
                return None
            body += received
        self._read_ahead = body[length:]
        posted = Posted(first.split(" ")[1], headers, body[:length])
        self.server.posts.add(posted)
        return posted

    def send(self, part: bytes) -> None:
        """Send *part* whole."""
        self.sock.sendall(part)

    def half_close(self) -> None:
        """Say that nothing more will be said."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off: what is under way in either direction is lost."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self.sock.fileno() != -1:
            self.sock.close()
            self.server.ended.add(self)

    def hang(self) -> None:
        """Do nothing until the test is over."""
        assert self.server.over.wait(PATIENCE_S)


Script: TypeAlias = Callable[[Peer], object]


def answering(*parts: bytes, then: Script | None = None) -> Script:
    """Read a request, send the parts one after another; then close, or go on as *then* says."""

    def script(peer: Peer) -> None:
        if peer.request() is not None:
            for part in parts:
                peer.send(part)
            if then is not None:
                then(peer)

    return script


def serving(answer: bytes) -> Script:
    """Give every request on the connection the same answer."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(answer)

    return script


@contextmanager
def faulty(
    *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Faulty]:
    """Treat the first connection as the first script says, and so on; the last one goes on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=512)
    port = listener.getsockname()[1]
    server = Faulty(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", port)
    peers: list[Peer] = []
    threads: list[threading.Thread] = []

    def treat(peer: Peer, script: Script) -> None:
        with suppress(OSError), closing(peer):
            if tls is not None and not _shake_hands(peer, tls):
                return
            script(peer)

    def accept() -> None:
        while True:
            try:
                sock, where = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peers.append(Peer(sock, server))
            script = scripts[min(len(peers), len(scripts)) - 1]
            threads.append(threading.Thread(target=treat, args=(peers[-1], script)))
            server.connections.add(where)
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for peer in peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE_S)


def _shake_hands(peer: Peer, tls: ssl.SSLContext) -> bool:
    peer.sock = shaking = tls.wrap_socket(
        peer.sock, server_side=True, do_handshake_on_connect=False
    )
    try:
        shaking.do_handshake()
    except OSError as exc:
        peer.server.turned_away.add(str(exc))
        return False
    return True


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority and of what it has issued, and of one that nobody trusts."""

    folder: Path
    authority: trustme.CA
    stranger: trustme.CA

    def path(self, name: str) -> str:
        """Name one of the files: `ca.pem`, `client.pem`, `client.key`, `stranger.pem`, …."""
        return str(self.folder / name)

    def server(
        self,
        *names: str,
        version: ssl.TLSVersion | None = None,
        expired: bool = False,
        wants_client: bool = False,
    ) -> ssl.SSLContext:
        """Give a server's context: for 127.0.0.1 unless *names* says otherwise."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        yesterday = datetime.now(UTC) - timedelta(days=1)
        self.authority.issue_cert(
            *(names or ("127.0.0.1",)),
            not_before=yesterday - timedelta(days=1),
            not_after=yesterday if expired else yesterday + timedelta(days=3),
        ).configure_cert(context)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write `ca.pem`, and certificate and key of a client that is known, and of a stranger."""
    made = Certificates(folder, trustme.CA(), trustme.CA())
    made.authority.cert_pem.write_to_path(made.path("ca.pem"))
    made.stranger.cert_pem.write_to_path(made.path("stranger-ca.pem"))
    for name, issuer in (("client", made.authority), ("stranger", made.stranger)):
        issued = issuer.issue_cert(f"{name}.example.org")
        issued.private_key_and_cert_chain_pem.write_to_path(made.path(f"{name}-both.pem"))
        issued.cert_chain_pems[0].write_to_path(made.path(f"{name}.pem"))
        issued.private_key_pem.write_to_path(made.path(f"{name}.key"))
    return made
