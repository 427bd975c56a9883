"""The pool of connections, plain or TLS, kept per destination and bounded in number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct, field

from sonda.pipeline.deadline import Expiry, Timeouts
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net.connection import Connection, TlsParameters
from sonda.pipeline.net.resolve import Resolver
from sonda.pipeline.net.sockets import Socket, connect_tcp
from sonda.pipeline.net.tls_session import TlsSession
from sonda.pipeline.values.addresses import Address

if TYPE_CHECKING:
    from sonda.pipeline.net.proxies import Tunnel

IDLE_S: Final = 30.0  # below the 60 s after which most servers hang up on an idle connection
CONNECTIONS_PER_DESTINATION: Final = 64
_HUNG_UP_WITHIN_S: Final = 1.0  # a peer that closes later than this does so because nothing came
IDLE_CONNECTIONS: Final = 256  # of all destinations together; beyond them the oldest is closed
_LATE_REJECTION_S: Final = 0.25
HANG_UP_S: Final = 60.0
"""So long after a hang-up a destination's connections are not kept."""
_HANG_UPS_REMEMBERED: Final = 1024

T = TypeVar("T")


class ConnectionKey(Struct, frozen=True):
    """What two events must have in common to share a connection.

    The kind of *sink* is among it, for the operator may allow a destination to one kind alone.
    """

    sink: str
    address: Address
    secure: TlsParameters | None = None
    credentials: Hashable = None
    tunnel: Tunnel | None = None

    def __repr__(self) -> str:
        return f"ConnectionKey({self.sink!r}, {self.address})"


class _Destination(Struct):
    """What one route has: places for connections in use, events that want one, idle connections."""

    places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONNECTIONS_PER_DESTINATION)
    )
    wanted: int = 0
    idle: dict[Connection, None] = {}  # the oldest first


class HangUps:
    """The latest hang-ups, by destination.

    Between a peer's close and the moment this machine sees it, an event may be written to nobody.
    """

    def __init__(self) -> None:
        self.since_s: dict[Hashable, float] = {}  # the oldest first

    def note(self, destination: Hashable) -> None:
        """Record a hang-up."""
        self.since_s.pop(destination, None)
        self.since_s[destination] = asyncio.get_running_loop().time()
        if len(self.since_s) > _HANG_UPS_REMEMBERED:
            del self.since_s[next(iter(self.since_s))]

    def is_recent(self, destination: Hashable) -> bool:
        """Return whether a destination has hung up within the last `HANG_UP_S`."""
        if (since_s := self.since_s.get(destination)) is None:
            return False
        if asyncio.get_running_loop().time() - since_s < HANG_UP_S:
            return True
        del self.since_s[destination]
        return False


class ConnectionPool:
    """The connections to all destinations."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._destinations: dict[ConnectionKey, _Destination] = {}
        self._idle: dict[Connection, ConnectionKey] = {}  # the oldest first
        self._expiry = Expiry(self, ConnectionPool._retire_idle)
        self._closing: set[asyncio.Task[None]] = set()
        self._hang_ups = HangUps()
        self._loop: asyncio.AbstractEventLoop  # of those who use it
        self.timeouts = Timeouts()  # of whoever uses a connection

    async def use(
        self,
        route: ConnectionKey,
        step: Callable[[Connection], Awaitable[T]],
        attempt: Attempt,
        *,
        peer_may_talk: bool = False,
    ) -> T:
        """Do *step* on a kept connection, or on a fresh one; raises `OSError` or `DestinationNotAllowed`.

        A fresh one's destination is looked up and judged. A kept connection that breaks before a
        byte has left is replaced by a fresh one, once. The connection is kept afterwards, unless
        *step* fails or closes it.
        """
        self._loop = asyncio.get_running_loop()
        destination = self._destinations.get(route)
        if destination is None:
            destination = self._destinations[route] = _Destination()
        destination.wanted += 1
        try:
            async with destination.places:
                stream = self._reuse(route, destination, peer_may_talk=peer_may_talk)
                while True:
                    if stream is None:
                        stream = await _open(route, self._resolver, attempt)
                    attempt.attach(stream.socket, reused=stream.reused)
                    try:
                        done = await step(stream)
                    except BaseException as exc:
                        self._close(route, stream, exc)
                        if attempt.left or not stream.reused or not isinstance(exc, OSError):
                            raise
                        stream = None
                        continue
                    if not stream.closed:
                        self._put_back(route, destination, stream)
                    return done
        finally:
            destination.wanted -= 1
            self._forget_unwanted(route, destination)

    def borrow(
        self, route: ConnectionKey, attempt: Attempt, *, peer_may_talk: bool = False
    ) -> Connection | None:
        """Return a kept connection that is alive, to `give_back`; `None` where one must be waited for."""
        destination = self._destinations.get(route)
        if destination is None or not destination.idle:
            return None
        taking = destination.places.acquire()
        try:
            taking.send(None)
        except StopIteration:
            pass  # there was a place
        else:
            taking.close()
            return None
        stream = self._reuse(route, destination, peer_may_talk=peer_may_talk)
        if stream is None:
            destination.places.release()
            self._forget_unwanted(route, destination)
            return None
        destination.wanted += 1
        attempt.attach(stream.socket, reused=stream.reused)
        return stream

    def give_back(
        self, route: ConnectionKey, stream: Connection, failure: BaseException | None = None
    ) -> None:
        """Keep a borrowed connection, unless it is closed, or its use has ended with a *failure*."""
        destination = self._destinations[route]
        if failure is not None:
            self._close(route, stream, failure)
        elif not stream.closed:
            self._put_back(route, destination, stream)
        destination.places.release()
        destination.wanted -= 1
        if not destination.idle:
            self._forget_unwanted(route, destination)

    async def use_borrowed(
        self, route: ConnectionKey, stream: Connection, step: Callable[[Connection], Awaitable[T]]
    ) -> T:
        """Do *step* on a borrowed connection, and give that back."""
        try:
            done = await step(stream)
        except BaseException as exc:
            self.give_back(route, stream, exc)
            raise
        self.give_back(route, stream)
        return done

    def _close(self, route: ConnectionKey, stream: Connection, failure: BaseException) -> None:
        stream.close()
        if stream.reused and isinstance(failure, ConnectionError):
            self._hang_ups.note(route)

    def _forget_unwanted(self, route: ConnectionKey, destination: _Destination) -> None:
        if not destination.wanted and not destination.idle:
            self._destinations.pop(route, None)

    async def probe(self, route: ConnectionKey) -> None:
        """Connect and hang up; raise `OSError` or `DestinationNotAllowed` if that cannot be done."""
        (await _open(route, self._resolver, Attempt())).close()

    async def aclose(self) -> None:
        """Close what is idle, and abandon what no task works on; tasks must have ended."""
        self.timeouts.abandon()
        for stream in list(self._idle):
            self._retire(stream)
        self._expiry.cancel()
        self.timeouts.cancel()
        await asyncio.gather(*self._closing)

    def _reuse(
        self, route: ConnectionKey, destination: _Destination, *, peer_may_talk: bool
    ) -> Connection | None:
        while destination.idle:
            stream, _ = destination.idle.popitem()
            del self._idle[stream]
            sock = stream.plain  # without TLS its own word is enough
            if sock is None:
                is_alive = stream.alive(peer_may_talk=peer_may_talk)
            else:
                is_alive = sock.is_listening() if peer_may_talk else not sock.has_input()
            if is_alive:
                stream.reused = True
                return stream
            stream.close()
            if asyncio.get_running_loop().time() - stream.idle_since_s < _HUNG_UP_WITHIN_S:
                self._hang_ups.note(route)
        return None

    def _put_back(
        self, route: ConnectionKey, destination: _Destination, stream: Connection
    ) -> None:
        if self._hang_ups.since_s and self._hang_ups.is_recent(route):
            self._close_gently(stream)
            return
        stream.idle_since_s = self._loop.time()
        stream.expires_s = stream.idle_since_s + min(IDLE_S, stream.idle_s)
        destination.idle[stream] = None
        self._idle[stream] = route
        if stream.expires_s < self._expiry.at_s:
            self._expiry.until(stream.expires_s)
        if len(self._idle) > IDLE_CONNECTIONS:
            self._retire(next(iter(self._idle)))

    def _retire_idle(self, now_s: float) -> float:
        """Retire what has been idle for long enough; return when the next one will have been."""
        for stream in [stream for stream in self._idle if stream.expires_s <= now_s]:
            self._retire(stream)
        return min((stream.expires_s for stream in self._idle), default=inf)

    def _retire(self, stream: Connection) -> None:
        """Close an idle connection."""
        route = self._idle.pop(stream)
        destination = self._destinations[route]
        del destination.idle[stream]
        self._forget_unwanted(route, destination)
        self._close_gently(stream)

    def _close_gently(self, stream: Connection) -> None:
        closing = asyncio.get_running_loop().create_task(stream.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def _open(route: ConnectionKey, resolver: Resolver, attempt: Attempt) -> Connection:
    """Connect, and shake hands if the connection is to be secure."""
    addresses = await resolver.find(route.sink, route.address, socket.SOCK_STREAM)
    sock = await connect_tcp(addresses)
    attempt.reached = True
    secure = route.secure
    if secure is None:
        return _opened(route, resolver, sock)
    tls: TlsSession | None = None
    try:
        if route.tunnel is not None:
            from sonda.pipeline.net.proxies import open_tunnel

            await open_tunnel(sock, route.tunnel)
        tls = TlsSession(sock, secure.context, secure.server_name)
        began_s = asyncio.get_running_loop().time()
        await tls.shake_hands()
        if secure.awaits_rejection:
            round_trip_s = asyncio.get_running_loop().time() - began_s
            await _wait_for_rejection(tls, _LATE_REJECTION_S + 2 * round_trip_s)
    except BaseException:
        attempt.heard = tls is not None and tls.heard
        sock.close()
        raise
    return _opened(route, resolver, sock, tls)


def _opened(
    route: ConnectionKey, resolver: Resolver, sock: Socket, tls: TlsSession | None = None
) -> Connection:
    resolver.observer.connection_opened(route.sink)
    return Connection(sock, tls, partial(resolver.observer.connection_closed, route.sink))


async def _wait_for_rejection(tls: TlsSession, patience_s: float) -> None:
    """Wait for the server to reject the handshake; silence is consent."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while await tls.receive():  # where nobody answers, a peer's talk means nothing
                pass
            raise ConnectionResetError("the peer hung up after the TLS handshake")
