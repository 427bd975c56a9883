"""Sockets that tell how many bytes have left the program, and whether the peer is still there."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from aiohappyeyeballs import AddrInfoType, start_connection
from anyio import EndOfStream
from anyio.abc import ByteStream

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.transport.threads import in_thread

_HAPPY_EYEBALLS_DELAY_S: Final = 0.25  # RFC 8305, section 5
_HANG_UP: Final = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


def words(exc: Exception) -> str:
    """Say what failed in the operating system's own words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {(exc.reason or str(exc)).replace('_', ' ').lower()}"
    if isinstance(exc, socket.gaierror):
        return exc.strerror or "name resolution failed"
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)  # asyncio and uvloop put words of their own around it
    return str(exc) or type(exc).__name__


def timed_out(exc: TimeoutError, deadline: Deadline) -> str:
    """Say whose patience ended: the operating system's or the deadline's."""
    return words(exc) if exc.errno else f"timed out after {deadline}"


async def resolve(host: str, port: int, kind: socket.SocketKind) -> Sequence[AddrInfoType]:
    """Look a host up; raises `OSError` with the resolver's reason."""
    look_up: Callable[..., Any] = partial(socket.getaddrinfo, host, port, type=kind)
    try:
        found: Sequence[AddrInfoType] = look_up(
            flags=socket.AI_NUMERICHOST
        )  # an address in any spelling: asks nobody
    except OSError:
        found = ()
    try:
        return found or await in_thread(look_up)
    except UnicodeError:  # a label of more than 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


async def connect_tcp(host: str, port: int) -> Socket:
    """Open a connection to the first of the host's addresses that answers; raises `OSError`."""
    addresses = await resolve(host, port, socket.SOCK_STREAM)
    sock = await start_connection(addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Socket(sock)


class Socket(ByteStream):
    """A connected TCP socket that buffers nothing: what `send` counts, the kernel has.

    Event-loop transports keep unsent bytes in the program and cannot tell how many, but whether
    an event may have left is the difference between a 502 and a 504.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.sent_bytes = 0

    async def send(self, item: bytes) -> None:
        rest = memoryview(item)
        while rest:
            try:
                sent = self._sock.send(rest)
            except BlockingIOError:
                await self._writable()
                continue
            self.sent_bytes += sent
            rest = rest[sent:]

    async def receive(self, max_bytes: int = 65536) -> bytes:
        received = await asyncio.get_running_loop().sock_recv(self._sock, max_bytes)
        if not received:
            raise EndOfStream
        return received

    async def send_eof(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Close so that what was sent arrives: unread input would turn the close into a reset."""
        if self._sock.fileno() == -1:
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
            self.discard_input()
        except OSError:
            pass
        self._sock.close()

    def poll(self) -> int:
        """Give the events that are pending on the socket."""
        poller = select.poll()
        poller.register(self._sock, select.POLLIN | _HANG_UP)
        pending = poller.poll(0)
        return pending[0][1] if pending else 0

    def hung_up(self) -> bool:
        """Tell whether the peer has closed its side or the connection has broken."""
        return bool(self.poll() & _HANG_UP)

    def discard_input(self) -> None:
        """Throw away what the peer has sent so far, at most 1 MiB."""
        for _ in range(16):
            try:
                if not self._sock.recv(65536):
                    return
            except BlockingIOError:
                return

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._sock, _wake, ready)
        try:
            await ready
        finally:
            loop.remove_writer(self._sock)

    @property
    def extra_attributes(self) -> Mapping[Any, Any]:
        return {}


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
