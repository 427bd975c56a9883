"""Connections, plain or TLS, kept per destination and bounded in number."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Final, TypeVar

from sonda.pipeline.net.hang_ups import HangUps
from sonda.pipeline.net.proxies import Tunnel, open_tunnel
from sonda.pipeline.net.resolve import Destinations
from sonda.pipeline.net.sockets import Meanwhile, Socket, TlsSession, connect_tcp
from sonda.pipeline.values.addresses import Address

IDLE_S: Final = 30.0  # below the 60 s after which most servers hang up on an idle connection
CONNECTIONS_PER_DESTINATION: Final = 64
_HUNG_UP_WITHIN_S: Final = 1.0  # a peer that closes later than this does so because nothing came
IDLE_CONNECTIONS: Final = 256  # of all destinations together; beyond them the oldest is closed
_CLOSE_NOTIFY_S: Final = 0.2
_SETTLE_S: Final = 2.0
_LATE_REJECTION_S: Final = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TlsParameters:
    """How to speak TLS on a connection: the context, compared by identity, and the name to verify.

    A server may reject the client's certificate after the client takes the handshake for finished:
    with TLS 1.3 any server does, and rsyslog does with every version. Where nothing is read back,
    an event would be lost behind a yes, so a sink may ask that a fresh connection *hears out* the
    server before it is used.
    """

    context: ssl.SSLContext
    server_name: str
    awaits_rejection: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """What two events must have in common to share a connection.

    The kind of *sink* is among it, for the operator may allow a destination to one kind alone.
    """

    sink: str
    address: Address
    secure: TlsParameters | None = None
    credentials: Hashable = field(default=None, repr=False)
    tunnel: Tunnel | None = None


class Connection:
    """One connection, used by one event at a time; every failure is an `OSError`."""

    def __init__(
        self,
        sock: Socket,
        tls: TlsSession | None = None,
        on_close: Callable[[], object] | None = None,
    ) -> None:
        self._socket = sock
        self._tls = tls
        self._on_close = on_close
        self.reused = False
        self.closed = False
        self.idle_s = inf  # how long the peer keeps it, as far as that is known
        self.idle_since_s = 0.0

    @property
    def sent_bytes(self) -> int:
        """Bytes that the operating system has taken so far, TLS's own included."""
        return self._socket.sent_bytes

    async def send(self, data: bytes, meanwhile: Meanwhile | None = None) -> bool:
        """Hand *data* to the operating system, or stop where *meanwhile* is done; tells if it is all."""
        return await (self._tls or self._socket).send(data, meanwhile)

    async def wait_for_room(self) -> None:
        """Wait until the operating system takes some bytes at once, or none ever again."""
        await self._socket.wait_for_room()

    async def receive(self) -> bytes:
        """Wait for some bytes; none at the end of the stream."""
        return await (self._tls or self._socket).receive()

    def alive(self, *, peer_may_talk: bool = False) -> bool:
        """Return whether the peer is still there, as far as this machine has seen.

        Input that nobody asked for ends a connection as well, since it would be taken for an
        answer; where *peer_may_talk*, it is thrown away.
        """
        try:
            if self._tls is not None:
                return self._tls.is_alive(peer_may_talk=peer_may_talk) and not (
                    self._socket.peer_closed() or self._socket.is_stalled()
                )
            if peer_may_talk:
                self._socket.take_input()
                return not (self._socket.peer_closed() or self._socket.is_stalled())
        except OSError:
            return False
        return not self._socket.has_input()

    async def wait_until_acked(self) -> None:
        """Wait until all has arrived, if the peer has closed its side; raises `OSError`.

        Such a peer may only listen, or be gone: then its system wants nothing more.
        """
        if self._socket.peer_closed():
            await self._socket.settle()

    def close(self) -> None:
        """Close at once, without TLS's goodbye."""
        if not self.closed and self._on_close is not None:
            self._on_close()
        self.closed = True
        self._socket.close()

    async def aclose(self) -> None:
        """Close with TLS's goodbye, which RFC 5425 asks for, but wait little for the peer's.

        Before that, give the peer time to get what was handed off: once the socket is closed, a
        word from the peer would make the kernel drop the rest.
        """
        if self._tls is not None:
            with suppress(OSError):
                async with asyncio.timeout(_CLOSE_NOTIFY_S):
                    await self._tls.say_goodbye()
        with suppress(OSError):
            async with asyncio.timeout(_SETTLE_S):
                await self._socket.settle()
        self.close()


class Attempt:
    """How far a try has got, at any time: to the peer, to a connection, and with how many bytes.

    Between the first two lies the TLS handshake.
    """

    __slots__ = ("_mark", "_stream", "reached")

    def __init__(self) -> None:
        self.reached = False
        self._stream: Connection | None = None
        self._mark = 0

    def attach(self, stream: Connection) -> None:
        """Go on from here on this connection."""
        self.reached = True
        self._stream, self._mark = stream, stream.sent_bytes

    @property
    def connected(self) -> bool:
        """Tell whether it has got a connection."""
        return self._stream is not None

    @property
    def reused(self) -> bool:
        """Return whether its connection has carried other events before."""
        return self._stream is not None and self._stream.reused

    @property
    def sent_bytes(self) -> int:
        """How many bytes have left, TLS's own included."""
        return 0 if self._stream is None else self._stream.sent_bytes - self._mark

    @property
    def left(self) -> bool:
        """Tell whether a byte has left."""
        return self.sent_bytes > 0


@dataclass(slots=True)
class _Destination:
    """What one route has: places for connections in use, events that want one, idle connections."""

    places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONNECTIONS_PER_DESTINATION)
    )
    wanted: int = 0
    idle: dict[Connection, asyncio.TimerHandle] = field(default_factory=dict)  # the oldest first


class ConnectionPool:
    """The connections to all destinations."""

    def __init__(self, doors: Destinations) -> None:
        self._doors = doors
        self._destinations: dict[ConnectionKey, _Destination] = {}
        self._idle: dict[Connection, ConnectionKey] = {}  # the oldest first
        self._closing: set[asyncio.Task[None]] = set()
        self._hang_ups = HangUps()

    @asynccontextmanager
    async def lease(
        self,
        route: ConnectionKey,
        journey: Attempt,
        *,
        peer_may_talk: bool = False,
        fresh: bool = False,
    ) -> AsyncIterator[Connection]:
        """Borrow a live connection, a kept one unless it must be *fresh*; raises `OSError`.

        A fresh one's destination is looked up and judged, which may raise `DestinationNotAllowed`. The
        connection is kept afterwards, unless the block fails or closes it.
        """
        destination = self._destinations.setdefault(route, _Destination())
        destination.wanted += 1
        try:
            async with destination.places:
                reuse = partial(self._reuse, route, destination, peer_may_talk=peer_may_talk)
                stream = None if fresh else reuse()
                stream = stream or await _open(route, self._doors, journey)
                try:
                    yield stream
                except BaseException:
                    stream.close()
                    raise
                if not stream.closed:
                    self._keep(route, destination, stream)
        finally:
            destination.wanted -= 1
            self._forget_unused(route, destination)

    async def use(
        self,
        route: ConnectionKey,
        step: Callable[[Connection], Awaitable[T]],
        journey: Attempt,
        *,
        peer_may_talk: bool = False,
    ) -> T:
        """Do *step* on a kept connection, or on a fresh one; raises `OSError` or `DestinationNotAllowed`.

        A kept connection that breaks before a byte has left is replaced by a fresh one, once.
        """
        for fresh in (False, True):
            async with self.lease(
                route, journey, peer_may_talk=peer_may_talk, fresh=fresh
            ) as stream:
                journey.attach(stream)
                try:
                    return await step(stream)
                except OSError as exc:
                    if stream.reused and isinstance(exc, ConnectionError):
                        self._hang_ups.note(route)
                    if journey.left or not stream.reused:
                        raise
                    stream.close()
        raise AssertionError("a fresh connection is never a reused one")

    async def probe(self, route: ConnectionKey) -> None:
        """Connect and hang up; raise `OSError` or `DestinationNotAllowed` if that cannot be done."""
        (await _open(route, self._doors, Attempt())).close()

    async def aclose(self) -> None:
        """Close what is idle; whoever borrows one must have given it back."""
        for stream in list(self._idle):
            self._retire(stream)
        await asyncio.gather(*self._closing)

    def _reuse(
        self, route: ConnectionKey, destination: _Destination, *, peer_may_talk: bool
    ) -> Connection | None:
        while destination.idle:
            stream, expiry = destination.idle.popitem()
            expiry.cancel()
            del self._idle[stream]
            if stream.alive(peer_may_talk=peer_may_talk):
                stream.reused = True
                return stream
            stream.close()
            if asyncio.get_running_loop().time() - stream.idle_since_s < _HUNG_UP_WITHIN_S:
                self._hang_ups.note(route)
        return None

    def _keep(self, route: ConnectionKey, destination: _Destination, stream: Connection) -> None:
        if self._hang_ups.is_recent(route):
            self._close_gently(stream)
            return
        loop = asyncio.get_running_loop()
        stream.idle_since_s = loop.time()
        idle_s = min(IDLE_S, stream.idle_s)
        destination.idle[stream] = loop.call_later(idle_s, self._retire, stream)
        self._idle[stream] = route
        if len(self._idle) > IDLE_CONNECTIONS:
            self._retire(next(iter(self._idle)))

    def _retire(self, stream: Connection) -> None:
        """Close an idle connection."""
        route = self._idle.pop(stream)
        destination = self._destinations[route]
        destination.idle.pop(stream).cancel()
        self._forget_unused(route, destination)
        self._close_gently(stream)

    def _close_gently(self, stream: Connection) -> None:
        closing = asyncio.get_running_loop().create_task(stream.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _forget_unused(self, route: ConnectionKey, destination: _Destination) -> None:
        if not destination.wanted and not destination.idle:
            self._destinations.pop(route, None)


async def _open(route: ConnectionKey, doors: Destinations, journey: Attempt) -> Connection:
    """Connect, and shake hands if the connection is to be secure."""
    addresses = await doors.find(route.sink, route.address, socket.SOCK_STREAM)
    sock = await connect_tcp(addresses)
    journey.reached = True
    secure = route.secure
    if secure is None:
        return _opened(route, doors, sock)
    try:
        if route.tunnel is not None:
            await open_tunnel(sock, route.tunnel)
        tls = TlsSession(sock, secure.context, secure.server_name)
        began_s = asyncio.get_running_loop().time()
        await tls.shake_hands()
        if secure.awaits_rejection:
            round_trip_s = asyncio.get_running_loop().time() - began_s
            await _wait_for_rejection(tls, _LATE_REJECTION_S + 2 * round_trip_s)
    except BaseException:
        sock.close()
        raise
    return _opened(route, doors, sock, tls)


def _opened(
    route: ConnectionKey, doors: Destinations, sock: Socket, tls: TlsSession | None = None
) -> Connection:
    doors.observer.connection_opened(route.sink)
    return Connection(sock, tls, partial(doors.observer.connection_closed, route.sink))


async def _wait_for_rejection(tls: TlsSession, patience_s: float) -> None:
    """Give the server time to reject the handshake; silence is consent."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while await tls.receive():  # where nobody answers, a peer's talk means nothing
                pass
            raise ConnectionResetError("the peer hung up after the TLS handshake")
