"""Sockets that tell how many bytes have left the program, and whether the peer is still there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.net.unix import BROKEN, HANG_UP, POLLIN, POLLOUT, has_unsent, look_at

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

_HAPPY_EYEBALLS_DELAY_S: Final = 0.25  # RFC 8305, section 5
CHUNK_BYTES: Final = 65536
_TAKEN_CHUNKS: Final = 16
_BREATH: Final = 16  # after so many pieces others have their turn
_SETTLE_POLL_S: Final = 0.01
_STALLED_S: Final = 1.0
_UNACKED_MS: Final = 120_000  # RFC 5482: so long the kernel sends again what nobody acknowledges
_TCP_INFO: Final = struct.Struct("=2xB5x16xI28xI")
"""Of `struct tcp_info`: tcpi_retransmits, tcpi_unacked (segments) and tcpi_last_ack_recv (ms)."""

Meanwhile: TypeAlias = Callable[[], asyncio.Future[Any]]
"""Begins something, or gives what has begun."""


class Listener(Protocol):
    """Whoever is called with what a connection receives, where it is received."""

    def feed(self, received: bytes) -> None:
        """Take some bytes; none at the end of the stream."""

    def fail(self, exc: OSError) -> None:
        """Take note that nothing more can be received."""


def words(exc: Exception) -> str:
    """Return what failed in the operating system's own words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {exc.verify_message.rstrip('.')}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {(exc.reason or str(exc)).replace('_', ' ').lower()}"
    if isinstance(exc, socket.gaierror):
        return exc.strerror or "name resolution failed"
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)  # asyncio and uvloop put words of their own around it
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


def is_late(exc: Exception) -> bool:
    """Return whether a deadline has ended, rather than the operating system timed out."""
    return isinstance(exc, TimeoutError) and not exc.errno


def reason(exc: Exception, deadline: Deadline) -> str:
    """Return why something did not come about until *deadline*."""
    return f"timed out after {deadline}" if is_late(exc) else words(exc)


async def connect_tcp(addresses: Sequence[AddrInfoType]) -> Socket:
    """Open a connection to the first of a host's addresses that answers; raises `OSError`."""
    return Socket(await open_socket(addresses))


def _with_zone(address: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a socket's address with its zone in the host, too: uvloop reads host and port alone."""
    host, port, *rest = address
    if rest and rest[1] and "%" not in host:
        return (f"{host}%{rest[1]}", port, *rest)
    return address


async def open_socket(addresses: Sequence[AddrInfoType]) -> socket.socket:
    """Connect as `connect_tcp` does, for those who do their own reading and writing."""
    from aiohappyeyeballs import start_connection  # a file needs no connection

    zoned = [(*found[:4], _with_zone(found[4])) for found in addresses]
    try:
        sock = await start_connection(zoned, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY_S)
    except OSError as exc:
        # Its frame keeps the error, whose traceback keeps its frame: a circle of some eighty objects.
        raise exc.with_traceback(None) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKED_MS)
    return sock


class Socket:
    """A connected TCP socket that buffers nothing: what `send` counts, the kernel has.

    Event-loop transports keep unsent bytes in the program and cannot tell how many, but whether
    an event may have left is the difference between a 502 and a 504.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._look: Callable[[], Sequence[tuple[int, int]]] | None = None  # at what has come about
        self._receipts = 0
        self._watching: asyncio.AbstractEventLoop | None = None  # for input
        self._arriving: asyncio.Future[bytes | None] | None = None
        self.listener: Listener | None = None
        self._failure: OSError | None = None  # that came right behind what was received
        self._unacked_since_s: float | None = None
        self.sent_bytes = 0

    async def send(self, data: bytes, meanwhile: Meanwhile | None = None) -> bool:
        """Send all of *data*, or stop where *meanwhile* is done first; return whether it is all.

        It is begun where the peer keeps us waiting: nearly always all is sent at once.
        """
        until: asyncio.Future[Any] | None = None
        rest = memoryview(data)
        while rest and not (until is not None and until.done()):
            try:
                sent = self._sock.send(rest)
            except BlockingIOError:
                until = meanwhile() if meanwhile is not None else None
                await self._writable(until)
                continue
            self.sent_bytes += sent
            rest = rest[sent:]
            if self._unacked_since_s is None:
                self._unacked_since_s = monotonic()
        return not rest

    def send_at_once(self, data: bytes) -> int:
        """Send what the kernel takes without waiting; return how many bytes, none where it is broken.

        What a broken connection has to say `send` and `receive` raise.
        """
        try:
            sent = self._sock.send(data)
        except OSError:  # `BlockingIOError` is one, too
            return 0
        self.sent_bytes += sent
        if self._unacked_since_s is None:
            self._unacked_since_s = monotonic()
        return sent

    def listen(self, listener: Listener) -> None:
        """Hand all that is received to *listener*, until `listener` is set to something else.

        The loop goes on watching a kept connection, so that none of its requests has to begin.
        """
        self.listener = listener
        if self._watching is None:
            self._watching = asyncio.get_running_loop()
            self._watching.add_reader(self._sock, self._on_input)

    def has_room(self) -> bool:
        """Return whether some bytes can be sent at once, or the connection is broken."""
        return bool(self._flags() & (POLLOUT | BROKEN))

    async def wait_for_room(self) -> None:
        """Wait until some bytes can be sent at once, or the connection is broken."""
        while not self.has_room():
            await self._writable(None)

    async def receive(self) -> bytes:
        """Wait for some bytes; none at the end of the stream."""
        self._receipts += 1
        if self._receipts % _BREATH == 0:  # or a peer that floods us would keep the loop
            await asyncio.sleep(0)
        while True:
            if self._failure is not None:
                raise self._failure
            if self._watching is None:
                try:
                    return self._sock.recv(CHUNK_BYTES)
                except BlockingIOError:
                    self._watching = asyncio.get_running_loop()
                    self._watching.add_reader(self._sock, self._on_input)
            arriving: asyncio.Future[bytes | None] = self._watching.create_future()
            self._arriving = arriving
            if (received := await arriving) is not None:
                return received

    def _on_input(self) -> None:
        """Receive for the listener until it has heard enough, or nothing follows for now."""
        if self.listener is None:
            self._receive_for_reader()
            return
        for _ in range(_BREATH):
            try:
                received = self._sock.recv(CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError as exc:
                self._unwatch()
                self.listener.fail(exc)
                return
            if not received:
                self._unwatch()
            self.listener.feed(received)
            if self.listener is None:
                return
        if self._watching is not None:  # a peer that floods us would keep the loop
            self._watching.call_soon(self._on_input)

    def _receive_for_reader(self) -> None:
        """Receive for whoever waits, and go on to watch only where nothing follows."""
        # uvloop stops watching a broken connection, and unasked input would keep the loop busy.
        arriving, received, is_quiet = self._arriving, None, False
        if arriving is not None and not arriving.done():
            try:
                received = self._sock.recv(CHUNK_BYTES)
                self._sock.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                is_quiet = received is not None
            except OSError as exc:
                self._failure = exc
            arriving.set_result(received)
        if not is_quiet:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._watching is not None and not self._watching.is_closed():
            self._watching.remove_reader(self._sock)
        self._watching = None

    def take_input(self) -> bytes:
        """Return what the peer has sent so far, at most 1 MiB; raise `OSError`."""
        taken = bytearray()
        for _ in range(_TAKEN_CHUNKS):
            try:
                received = self._sock.recv(CHUNK_BYTES)
            except BlockingIOError:
                break
            except OSError:
                if not taken:
                    raise
                break  # what came before the end may tell why
            if not received:
                break
            taken += received
        return bytes(taken)

    def has_input(self) -> bool:
        """Return whether there is anything to read, the end of the stream included."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass  # it is broken
        return True

    def has_words(self) -> bool:
        """Return whether there are bytes to read; neither an end of the stream nor an error counts."""
        with suppress(OSError):
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        return False

    def peer_closed(self) -> bool:
        """Return whether the peer has closed its side or the connection has broken."""
        return bool(self._flags() & HANG_UP)

    def is_listening(self) -> bool:
        """Return whether the peer is there; what it has said, which nobody asked for, is dropped."""
        flags = self._flags()
        if flags & POLLIN:
            try:
                self.take_input()
            except OSError:
                return False
            flags = self._flags()
        return not (flags & HANG_UP or self.is_stalled())

    def is_stalled(self) -> bool:
        """Return whether what was sent earlier does not get through; ask before each reuse.

        That is so where the kernel sends it again, and has heard nothing for more than a second:
        packets to a peer that is gone vanish without a word.
        """
        since_s = self._unacked_since_s
        if since_s is None or monotonic() - since_s <= _STALLED_S:
            return False
        if not hasattr(socket, "TCP_INFO"):
            return False
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        retransmits, unacked, silent_ms = _TCP_INFO.unpack(info.ljust(_TCP_INFO.size, b"\0"))
        if not unacked:
            self._unacked_since_s = None
        return bool(unacked and retransmits and silent_ms > _STALLED_S * 1000)

    def has_unacked(self) -> bool:
        """Return whether the peer's system does not have all yet that was sent."""
        return has_unsent(self._sock)

    async def wait_until_acked(self) -> None:
        """Wait until the peer's system has all that was sent; raise `OSError` if it wants none."""
        while self.has_unacked():
            if self._flags() & BROKEN:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            self.take_input()
            await asyncio.sleep(_SETTLE_POLL_S)

    def close(self) -> None:
        """Close so that what was sent arrives: unread input would turn the close into a reset."""
        if self._sock.fileno() == -1:
            return
        self.listener = None
        self._unwatch()
        try:
            self._sock.shutdown(socket.SHUT_WR)
            self.take_input()
        except OSError:
            pass
        self._sock.close()
        self._look = lambda: ((0, HANG_UP),)  # the number may be another file's soon

    def _flags(self) -> int:
        """Return what has come about, of `POLLIN`, `POLLOUT` and `HANG_UP`."""
        if self._look is None:
            self._look = look_at(self._sock)
        pending = self._look()
        return pending[0][1] if pending else 0

    async def _writable(self, until: asyncio.Future[Any] | None) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake(_: object = None) -> None:
            if not ready.done():
                loop.remove_writer(self._sock)  # now: uvloop gives up a broken socket's poller next
                ready.set_result(None)

        loop.add_writer(self._sock, wake)
        if until is not None:
            until.add_done_callback(wake)
        try:
            await ready
        finally:
            loop.remove_writer(self._sock)
            if until is not None:
                until.remove_done_callback(wake)
