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
    """What one destination has: places for connections in use, events that want one, idle ones."""

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
        key: ConnectionKey,
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
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = _Destination()
        destination.wanted += 1
        try:
            async with destination.places:
                connection = self._reuse(key, destination, peer_may_talk=peer_may_talk)
                while True:
                    if connection is None:
                        connection = await _open(key, self._resolver, attempt)
                    attempt.attach(connection.socket, reused=connection.reused)
                    try:
                        done = await step(connection)
                    except BaseException as exc:
                        self._close(key, connection, exc)
                        if (
                            attempt.has_left
                            or not connection.reused
                            or not isinstance(exc, OSError)
                        ):
                            raise
                        connection = None
                        continue
                    if not connection.closed:
                        self._put_back(key, destination, connection)
                    return done
        finally:
            destination.wanted -= 1
            self._forget_unwanted(key, destination)

    def acquire_nowait(
        self, key: ConnectionKey, attempt: Attempt, *, peer_may_talk: bool = False
    ) -> Connection | None:
        """Return a kept connection that is alive, to be released; `None` where one must be waited for."""
        destination = self._destinations.get(key)
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
        connection = self._reuse(key, destination, peer_may_talk=peer_may_talk)
        if connection is None:
            destination.places.release()
            self._forget_unwanted(key, destination)
            return None
        destination.wanted += 1
        attempt.attach(connection.socket, reused=connection.reused)
        return connection

    def release(
        self, key: ConnectionKey, connection: Connection, failure: BaseException | None = None
    ) -> None:
        """Keep an acquired connection, unless it is closed, or its use has ended with a *failure*."""
        destination = self._destinations[key]
        if failure is not None:
            self._close(key, connection, failure)
        elif not connection.closed:
            self._put_back(key, destination, connection)
        destination.places.release()
        destination.wanted -= 1
        if not destination.idle:
            self._forget_unwanted(key, destination)

    async def use_acquired(
        self, key: ConnectionKey, connection: Connection, step: Callable[[Connection], Awaitable[T]]
    ) -> T:
        """Do *step* on an acquired connection, and release that."""
        try:
            done = await step(connection)
        except BaseException as exc:
            self.release(key, connection, exc)
            raise
        self.release(key, connection)
        return done

    def _close(self, key: ConnectionKey, connection: Connection, failure: BaseException) -> None:
        connection.close()
        if connection.reused and isinstance(failure, ConnectionError):
            self._hang_ups.note(key)

    def _forget_unwanted(self, key: ConnectionKey, destination: _Destination) -> None:
        if not destination.wanted and not destination.idle:
            self._destinations.pop(key, None)

    async def probe(self, key: ConnectionKey) -> None:
        """Connect and hang up; raise `OSError` or `DestinationNotAllowed` if that cannot be done."""
        (await _open(key, self._resolver, Attempt())).close()

    async def aclose(self) -> None:
        """Close what is idle, and abandon what no task works on; tasks must have ended."""
        self.timeouts.abandon()
        for connection in list(self._idle):
            self._retire(connection)
        self._expiry.cancel()
        self.timeouts.cancel()
        await asyncio.gather(*self._closing)

    def _reuse(
        self, key: ConnectionKey, destination: _Destination, *, peer_may_talk: bool
    ) -> Connection | None:
        while destination.idle:
            connection, _ = destination.idle.popitem()
            del self._idle[connection]
            sock = connection.plain  # without TLS its own word is enough
            if sock is None:
                is_alive = connection.alive(peer_may_talk=peer_may_talk)
            else:
                is_alive = sock.is_listening() if peer_may_talk else not sock.has_input()
            if is_alive:
                connection.reused = True
                return connection
            connection.close()
            if asyncio.get_running_loop().time() - connection.idle_since_s < _HUNG_UP_WITHIN_S:
                self._hang_ups.note(key)
        return None

    def _put_back(
        self, key: ConnectionKey, destination: _Destination, connection: Connection
    ) -> None:
        if self._hang_ups.since_s and self._hang_ups.is_recent(key):
            self._close_gently(connection)
            return
        connection.idle_since_s = self._loop.time()
        connection.expires_s = connection.idle_since_s + min(IDLE_S, connection.idle_s)
        destination.idle[connection] = None
        self._idle[connection] = key
        if connection.expires_s < self._expiry.at_s:
            self._expiry.until(connection.expires_s)
        if len(self._idle) > IDLE_CONNECTIONS:
            self._retire(next(iter(self._idle)))

    def _retire_idle(self, now_s: float) -> float:
        """Retire what has been idle for long enough; return when the next one will have been."""
        for connection in [
            connection for connection in self._idle if connection.expires_s <= now_s
        ]:
            self._retire(connection)
        return min((connection.expires_s for connection in self._idle), default=inf)

    def _retire(self, connection: Connection) -> None:
        """Close an idle connection."""
        key = self._idle.pop(connection)
        destination = self._destinations[key]
        del destination.idle[connection]
        self._forget_unwanted(key, destination)
        self._close_gently(connection)

    def _close_gently(self, connection: Connection) -> None:
        closing = asyncio.get_running_loop().create_task(connection.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def _open(key: ConnectionKey, resolver: Resolver, attempt: Attempt) -> Connection:
    """Connect, and shake hands if the connection is to be secure."""
    addresses = await resolver.find(key.sink, key.address, socket.SOCK_STREAM)
    sock = await connect_tcp(addresses)
    attempt.reached = True
    secure = key.secure
    if secure is None:
        return _opened(key, resolver, sock)
    tls: TlsSession | None = None
    try:
        if key.tunnel is not None:
            from sonda.pipeline.net.proxies import open_tunnel

            await open_tunnel(sock, key.tunnel)
        tls = TlsSession(sock, secure.context, secure.server_name)
        began_s = asyncio.get_running_loop().time()
        await tls.shake_hands()
        if secure.awaits_rejection:
            round_trip_s = asyncio.get_running_loop().time() - began_s
            await _wait_for_rejection(tls, _LATE_REJECTION_S + 2 * round_trip_s)
    except BaseException:
        attempt.has_received = tls is not None and tls.has_received
        sock.close()
        raise
    return _opened(key, resolver, sock, tls)


def _opened(
    key: ConnectionKey, resolver: Resolver, sock: Socket, tls: TlsSession | None = None
) -> Connection:
    resolver.observer.connection_opened(key.sink)
    return Connection(sock, tls, partial(resolver.observer.connection_closed, key.sink))


async def _wait_for_rejection(tls: TlsSession, patience_s: float) -> None:
    """Wait for the server to reject the handshake; silence is consent."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while await tls.receive():  # where nobody answers, a peer's talk means nothing
                pass
            raise ConnectionResetError("the peer hung up after the TLS handshake")
