"""Connections, plain or TLS, kept per destination and bounded in number."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.streams.tls import TLSStream

from sonda.pipeline.addresses import Address
from sonda.pipeline.transport.sockets import Socket, connect_tcp

IDLE_S: Final = 30.0  # below the 60 s after which most servers hang up on an idle connection
CONNECTIONS_PER_DESTINATION: Final = 64
IDLE_CONNECTIONS: Final = 256  # of all destinations together; beyond them the oldest is closed
_CLOSE_NOTIFY_S: Final = 0.2
_LATE_REJECTION_S: Final = 0.25
_WANTS_NEWER_TLS: Final = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"})


@dataclass(frozen=True, slots=True)
class Secure:
    """How to speak TLS on a connection: the context, compared by identity, and the name to verify.

    With TLS 1.3 a server that rejects the client's certificate says so only after the client
    takes the handshake for finished. Where nothing is read back, as from a syslog receiver, an
    event would be lost behind a yes. So *until_1_2*, if given, is tried first: up to TLS 1.2 the
    server has the last word of the handshake.
    """

    context: ssl.SSLContext
    server_name: str
    until_1_2: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What two events must have in common to share a connection."""

    address: Address
    secure: Secure | None = None
    credentials: Hashable = None


class Stream:
    """One connection, used by one event at a time; every failure is an `OSError`."""

    def __init__(self, sock: Socket, tls: TLSStream | None = None) -> None:
        self._socket = sock
        self._tls = tls
        self.reused = False
        self.closed = False

    @property
    def sent_bytes(self) -> int:
        """Bytes that the operating system has taken so far, TLS's own included."""
        return self._socket.sent_bytes

    async def send(self, data: bytes) -> None:
        """Hand all of *data* to the operating system."""
        try:
            await (self._tls or self._socket).send(data)
        except (BrokenResourceError, ClosedResourceError) as exc:
            raise _os_error(exc) from exc

    async def receive(self) -> bytes:
        """Wait for some bytes; none at the end of the stream."""
        try:
            return await (self._tls or self._socket).receive(65536)
        except EndOfStream:
            return b""
        except (BrokenResourceError, ClosedResourceError) as exc:
            raise _os_error(exc) from exc

    def alive(self, *, peer_may_talk: bool = False) -> bool:
        """Tell whether the peer is still there.

        Input that nobody asked for ends a connection as well, since it would be taken for an
        answer, or is TLS's goodbye; where *peer_may_talk* without TLS, it is thrown away.
        """
        if peer_may_talk and self._tls is None:
            with suppress(OSError):
                self._socket.discard_input()
            return not self._socket.hung_up()
        return not self._socket.poll()

    def close(self) -> None:
        """Close at once, without TLS's goodbye."""
        self.closed = True
        self._socket.close()

    async def aclose(self) -> None:
        """Close with TLS's goodbye, which RFC 5425 asks for, but wait little for the peer's."""
        if self._tls is not None:
            with suppress(TimeoutError, OSError, EndOfStream, BrokenResourceError):
                async with asyncio.timeout(_CLOSE_NOTIFY_S):
                    await self._tls.unwrap()
        self.close()


@dataclass(slots=True)
class _Destination:
    """What one route has: places for connections in use, events that want one, idle connections."""

    places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONNECTIONS_PER_DESTINATION)
    )
    wanted: int = 0
    idle: dict[Stream, asyncio.TimerHandle] = field(default_factory=dict)  # the oldest first


class Streams:
    """The connections to all destinations."""

    def __init__(self) -> None:
        self._destinations: dict[Route, _Destination] = {}
        self._idle: dict[Stream, Route] = {}  # the oldest first
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lease(
        self, route: Route, *, peer_may_talk: bool = False, fresh: bool = False
    ) -> AsyncIterator[Stream]:
        """Borrow a live connection, a kept one unless it must be *fresh*; raises `OSError`.

        It is kept afterwards, unless the block fails or closes it.
        """
        destination = self._destinations.setdefault(route, _Destination())
        destination.wanted += 1
        try:
            async with destination.places:
                stream = None if fresh else self._reuse(destination, peer_may_talk=peer_may_talk)
                stream = stream or await _open(route.address, route.secure)
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

    async def aclose(self) -> None:
        """Close what is idle; whoever borrows one must have given it back."""
        for stream in list(self._idle):
            self._retire(stream)
        await asyncio.gather(*self._closing)

    def _reuse(self, destination: _Destination, *, peer_may_talk: bool) -> Stream | None:
        while destination.idle:
            stream, expiry = destination.idle.popitem()
            expiry.cancel()
            del self._idle[stream]
            if stream.alive(peer_may_talk=peer_may_talk):
                stream.reused = True
                return stream
            stream.close()
        return None

    def _keep(self, route: Route, destination: _Destination, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        destination.idle[stream] = loop.call_later(IDLE_S, self._retire, stream)
        self._idle[stream] = route
        if len(self._idle) > IDLE_CONNECTIONS:
            self._retire(next(iter(self._idle)))

    def _retire(self, stream: Stream) -> None:
        """Close an idle connection."""
        route = self._idle.pop(stream)
        destination = self._destinations[route]
        destination.idle.pop(stream).cancel()
        self._forget_unused(route, destination)
        closing = asyncio.get_running_loop().create_task(stream.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _forget_unused(self, route: Route, destination: _Destination) -> None:
        if not destination.wanted and not destination.idle:
            self._destinations.pop(route, None)


async def _open(address: Address, secure: Secure | None) -> Stream:
    """Connect, and shake hands if the connection is to be secure."""
    if secure is None:
        return Stream(await connect_tcp(*address))
    if secure.until_1_2 is None:
        return await _open_tls(address, secure.context, secure.server_name)
    try:
        return await _open_tls(address, secure.until_1_2, secure.server_name)
    except ssl.SSLError as exc:
        if exc.reason not in _WANTS_NEWER_TLS:
            raise
    stream = await _open_tls(address, secure.context, secure.server_name)
    with suppress(TimeoutError):  # silence is consent
        async with asyncio.timeout(_LATE_REJECTION_S):
            if not await stream.receive():
                stream.close()
                raise ConnectionResetError("the peer hung up after the TLS handshake")
    return stream


async def _open_tls(address: Address, context: ssl.SSLContext, server_name: str) -> Stream:
    sock = await connect_tcp(*address)
    try:
        tls = await TLSStream.wrap(
            sock, hostname=server_name, ssl_context=context, standard_compatible=False
        )
    except (BrokenResourceError, EndOfStream) as exc:
        sock.close()
        raise _os_error(exc) from exc
    except BaseException:
        sock.close()
        raise
    return Stream(sock, tls)


def _os_error(exc: Exception) -> OSError:
    """Find the operating system's error behind one of anyio's."""
    cause = exc.__cause__
    return cause if isinstance(cause, OSError) else ConnectionResetError("the peer hung up")
