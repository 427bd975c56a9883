"""gRPC channels, one per destination, kept while they are used and bounded in number.

A leased channel is connected. gRPC can also connect, wait and retry by itself, but it does not
report how far a call has got, nor why it failed in the operating system's words.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

from sonda.about import version
from sonda.pipeline.net import Network
from sonda.pipeline.net.connection import TlsParameters
from sonda.pipeline.net.descriptors import Descriptor, connected_since, next_number
from sonda.pipeline.net.pool import IDLE_S, ConnectionKey
from sonda.pipeline.net.threads import in_thread
from sonda.pipeline.net.tls import Pem, system_authorities
from sonda.pipeline.sinks.otlp_grpc.forking import check_process, remember
from sonda.pipeline.values.addresses import Address

SINK: Final = "otlp_grpc"  # the only kind of sink that speaks gRPC
CALLS_PER_DESTINATION: Final = 64  # servers allow a hundred or more; beyond, gRPC itself would wait
IDLE_CHANNELS: Final = 64  # of all destinations together; beyond them the oldest is closed
ANSWER_BYTES: Final = 65536
_KEEPALIVE_MS: Final = 30_000  # with a call open; servers hang up on whoever pings more often
_KEEPALIVE_TIMEOUT_MS: Final = 10_000  # also for how long the kernel waits for a peer's system
_READY: Final = grpc.ChannelConnectivity.READY
_FAILED: Final = grpc.ChannelConnectivity.TRANSIENT_FAILURE

Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """The key of a channel: events with equal values share it."""

    address: Address
    secure: TlsParameters | None = None
    pem: Pem | None = field(default=None, compare=False, repr=False)  # `secure` stands for it
    metadata: Metadata = field(default=(), repr=False)


@dataclass(eq=False, slots=True)
class _Channel:
    """A channel and how many calls use it; one that is out of service closes with its last call."""

    channel: grpc.aio.Channel
    sockets: frozenset[Descriptor]
    calls: int = 0
    in_service: bool = True
    on_close: Callable[[], object] | None = None

    def connected(self) -> bool:
        """Return whether it is in service, gRPC takes it for connected, and its peer is there."""
        ready = self.in_service and self.channel.get_state() is _READY
        return ready and not any(found.peer_closed() for found in self.sockets)

    async def retire(self) -> None:
        """Take no further calls; those under way may still be answered, for example after a GOAWAY."""
        self.in_service = False
        await self.close_if_unused()

    async def close_if_unused(self) -> None:
        if self.calls or self.in_service or self.on_close is None:
            return
        self.on_close()
        self.on_close = None  # it is closed once
        await self.channel.close()


@dataclass(eq=False, slots=True)
class _DestinationState:
    """The state of one destination: its channel, free places for calls, and how many events want one."""

    channel: _Channel | None = None
    places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CALLS_PER_DESTINATION)
    )
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


class Channels:
    """The channels to all destinations."""

    def __init__(self, network: Network) -> None:
        self._pool = network.pool
        self._resolver = network.resolver
        self._states: dict[Destination, _DestinationState] = {}
        self._idle: dict[Destination, asyncio.TimerHandle] = {}  # the oldest first
        self._closing: set[asyncio.Task[None]] = set()
        self._sockets: set[Descriptor] = set()

    @asynccontextmanager
    async def lease(self, destination: Destination) -> AsyncIterator[grpc.aio.Channel]:
        """Lease a channel that is connected; raise `OSError` or `DestinationNotAllowed` if none can be.

        Where only gRPC knows why it cannot connect, a call on the channel fails at once with the reason.
        A channel on which a call has timed out takes no further ones: its connection may be dead
        without anybody having said so.
        """
        state = self._states.setdefault(destination, _DestinationState())
        if expiry := self._idle.pop(destination, None):
            expiry.cancel()
        state.wanted += 1
        try:
            async with state.places:
                used = await self._connected(destination, state)
                used.calls += 1
                try:
                    yield used.channel
                except grpc.aio.AioRpcError as status:
                    if status.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                        used.in_service = False
                    raise
                finally:
                    used.calls -= 1
                    await used.close_if_unused()
        finally:
            state.wanted -= 1
            if not state.wanted:
                self._retire_later(destination, state)

    async def aclose(self) -> None:
        """Close all idle channels; every lease must have ended."""
        for destination in list(self._idle):
            self._retire(destination)
        await asyncio.gather(*self._closing)

    async def _connected(self, destination: Destination, state: _DestinationState) -> _Channel:
        """Return the kept channel, or a new one if it has lost its connection."""
        async with state.opening:
            kept = state.channel
            if kept is not None and kept.connected():
                return kept
            state.channel = None
            if kept is not None:
                await kept.retire()
            state.channel = await self._open(destination)
            return state.channel

    async def _open(self, destination: Destination) -> _Channel:
        check_process()
        addresses = await self._resolver.find(SINK, destination.address, socket.SOCK_STREAM)
        peers = [info[4] for info in addresses]
        credentials = None
        if destination.pem is not None:
            credentials = await in_thread(partial(_credentials, destination.pem))
        first = next_number()
        channel = _channel(_target(addresses), destination, credentials)
        try:
            if not await _connects(channel):
                await self._pool.probe(_connection_key(destination))
        except BaseException:
            await channel.close()
            raise
        observer = self._resolver.observer
        observer.connection_opened(SINK)
        sockets = connected_since(first, peers, self._sockets)
        self._sockets |= sockets
        return _Channel(channel, sockets, on_close=partial(self._closed, sockets))

    def _closed(self, sockets: frozenset[Descriptor]) -> None:
        self._sockets -= sockets
        self._resolver.observer.connection_closed(SINK)

    def _retire_later(self, destination: Destination, state: _DestinationState) -> None:
        if state.channel is None:
            del self._states[destination]
            return
        loop = asyncio.get_running_loop()
        self._idle[destination] = loop.call_later(IDLE_S, self._retire, destination)
        if len(self._idle) > IDLE_CHANNELS:
            self._retire(next(iter(self._idle)))

    def _retire(self, destination: Destination) -> None:
        """Close an idle channel."""
        self._idle.pop(destination).cancel()
        kept = self._states.pop(destination).channel
        if kept is not None:
            closing = asyncio.get_running_loop().create_task(kept.retire())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _connects(channel: grpc.aio.Channel) -> bool:
    """Wait until a new channel is connected or has failed; return whether it is connected.

    A cancelled wait is still awaited: gRPC must not report its end to an event loop that has been
    closed meanwhile.
    """
    while (state := channel.get_state(try_to_connect=True)) not in (_READY, _FAILED):
        change = asyncio.ensure_future(channel.wait_for_state_change(state))
        try:
            await asyncio.shield(change)
        except asyncio.CancelledError:
            await channel.close()
            await change
            raise
    return state is _READY


def _connection_key(destination: Destination) -> ConnectionKey:
    secure = destination.secure
    awaiting = secure and TlsParameters(secure.context, secure.server_name, awaits_rejection=True)
    return ConnectionKey(SINK, destination.address, awaiting)


def _target(addresses: Sequence[Any]) -> str:
    """Return addresses as a gRPC target that needs no look-up; all must be of one family."""
    places = [(info[0], info[4][0], info[4][1]) for info in addresses]
    if all(family == socket.AF_INET for family, _, _ in places):
        return "ipv4:" + ",".join(f"{host}:{port}" for _, host, port in places)
    mapped = (
        (f"::ffff:{host}" if family == socket.AF_INET else host.replace("%", "%25"), port)
        for family, host, port in places
    )
    return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in mapped)


def _credentials(pem: Pem) -> grpc.ChannelCredentials:
    """Return credentials with the authorities that the other sinks trust, gRPC's own if there are none."""
    trusted = pem.ca_cert or system_authorities()
    return grpc.ssl_channel_credentials(trusted, pem.client_key, pem.client_cert)


def _authority(destination: Destination) -> Address:
    """Return the call's authority; over TLS gRPC requires the name that is verified."""
    host, port = destination.address
    return Address(destination.secure.server_name if destination.secure else host, port)


def _channel(
    target: str, destination: Destination, credentials: grpc.ChannelCredentials | None
) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.default_authority", str(_authority(destination))),
        ("grpc.primary_user_agent", f"sonda/{version()}"),
        ("grpc.enable_retries", 0),  # a try is one request, and the user says how many there are
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),  # else a failed channel's back-off outlives it
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.max_receive_message_length", ANSWER_BYTES),
        ("grpc.max_send_message_length", -1),
    ]
    if destination.secure is None or credentials is None:
        return remember(grpc.aio.insecure_channel(target, options))
    options.append(("grpc.ssl_target_name_override", destination.secure.server_name))
    return remember(grpc.aio.secure_channel(target, credentials, options))
