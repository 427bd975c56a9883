"""A TCP or TLS connection that events are written to, such as a syslog receiver's.

**Confirmed:** the operating system has every byte, for a connection that was alive right before
the write: handed off. TCP has no answer that could say more.
Spec: https://www.rfc-editor.org/rfc/rfc6587 (framing), https://www.rfc-editor.org/rfc/rfc5425 (TLS)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, zip_longest
from math import inf
from operator import attrgetter
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import TimeLimit
from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net.batch import Batch, BatchLimits, StepNames
from sonda.pipeline.net.batching import Pushed, Queue, push_to, send_many_to
from sonda.pipeline.net.connection import Connection, TlsParameters
from sonda.pipeline.net.pool import ConnectionKey
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.retry import Outcome, Retry
from sonda.pipeline.net.sockets import is_late, reason, words
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.sinks import LINE, Sink
from sonda.pipeline.values.addresses import Address, parse_address, without_zone
from sonda.pipeline.wire_preview import WirePreview

FRAMES_PER_WRITE: Final = 1000
_HANDED_OFF: Final = Ack(Confirmed.HANDED_OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """Options of the `tcp` sink; with *tls* and octet counting it is syslog over TLS."""

    address: str
    framing: Literal["lf", "octet_counting"] = "lf"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None


def open_queue(options: Tcp, network: Network) -> Queue:
    """Return the queue for all events with these options; each event is written as one frame."""
    target, address = options.address, parse_address(options.address)
    names = StepNames(target, f"TCP connect to {target}", f"TCP write to {target}")
    key = ConnectionKey("tcp", address)
    receiver = _Receiver(options, key, names, network)
    limits = BatchLimits(events=FRAMES_PER_WRITE, is_answered=False)
    push, begin = receiver.push, None if options.tls else receiver.begin
    return Queue(push, names, limits, network.start, retry=options.retry, begin=begin)


@dataclass(frozen=True, slots=True)
class _Receiver:
    """Where batches of frames are written to."""

    options: Tcp
    key: ConnectionKey
    names: StepNames
    network: Network

    async def push(self, batch: Batch) -> bool:
        """Write the frames to a live connection, kept or fresh."""
        writing = _Writing(batch, self.options)
        await self._deliver(batch, writing, partial(self._write, batch, writing))
        return False

    async def _write(self, batch: Batch, writing: _Writing) -> None:
        found = await _connection_key(self.key, self.options.tls, self.network)
        if isinstance(found, Success):
            pool, key = self.network.pool, found.unwrap()
            await pool.use(key, writing.run, batch.attempt, peer_may_talk=True)
        else:
            batch.set_result(Failure(AttemptFailure(found.failure(), reached=False)))

    def begin(self, batch: Batch, pushed: Pushed) -> bool | None:
        """Write the frames, if a kept connection takes them without a wait."""
        pool = self.network.pool
        connection = pool.acquire_nowait(self.key, batch.attempt, peer_may_talk=True)
        if connection is None or connection.plain is None:
            return None
        writing, sock = _Writing(batch, self.options), connection.plain
        try:
            frames = b"".join(writing.frames()) if sock.has_room() else b""
        except BaseException:
            pool.release(self.key, connection)
            raise
        sent_bytes = sock.send_at_once(frames) if frames else 0
        if sent_bytes and (sent_bytes < len(frames) or sock.peer_closed()):
            rest = partial(writing.send, frames=frames[sent_bytes:])
            go_on = partial(pool.use_acquired, self.key, connection, rest)
            self.network.start(self._go_on(batch, writing, go_on, pushed))
            return False
        pool.release(self.key, connection)
        if not sent_bytes:
            return None
        batch.set_result(Success(_HANDED_OFF))
        return True

    async def _go_on(
        self,
        batch: Batch,
        writing: _Writing,
        write: Callable[[], Awaitable[None]],
        pushed: Pushed,
    ) -> None:
        """Write what is left of frames that have begun to leave."""
        try:
            await self._deliver(batch, writing, write)
        except Exception as exc:  # noqa: BLE001  # a bug, raised again where the outcome is awaited
            pushed(batch, exc)
        else:
            pushed(batch, False)  # nothing goes again

    async def _deliver(
        self, batch: Batch, writing: _Writing, write: Callable[[], Awaitable[None]]
    ) -> None:
        """Write within the deadline, and judge each event by its bytes."""
        try:
            with TimeLimit(self.network.pool.timeouts, batch.deadline.at_s):
                await write()
        except DestinationNotAllowed as exc:
            batch.set_result(Failure(AttemptFailure(exc.problem, reached=batch.attempt.reached)))
        except OSError as exc:
            batch.set_results(_outcomes(batch, writing, self.names, exc))
        else:
            batch.set_result(Success(_HANDED_OFF))


def _outcomes(batch: Batch, writing: _Writing, names: StepNames, exc: OSError) -> Iterator[Outcome]:
    why = f"within {batch.deadline}" if is_late(exc) else f"({words(exc)})"
    step = names.write if batch.attempt.connected else names.connect
    torn: Problem = OutcomeUnknown(names.target, why, time_ns=0)  # each event has its own
    untouched: Problem = Unreachable(step, reason(exc, batch.deadline))
    return writing.judge(
        Success(_HANDED_OFF),
        Failure(AttemptFailure(torn, retryable=True)),
        Failure(AttemptFailure(untouched, retryable=True, reached=batch.attempt.reached)),
    )


async def _connection_key(
    key: ConnectionKey, tls: Tls | None, network: Network
) -> Result[ConnectionKey, Problem]:
    """Return the key of the connection; fail with `Forbidden`, or as the TLS files do."""
    permitted = network.resolver.permit("tcp", key.address)
    if not isinstance(permitted, Success):
        return Failure(permitted.failure())
    if tls is None:
        return Success(key)
    name = _server_name(tls, key.address)
    context = await network.tls.load(tls)
    return context.map(
        lambda loaded: replace(key, secure=TlsParameters(loaded, name, awaits_rejection=True))
    )


def _server_name(tls: Tls, address: Address) -> str:
    return without_zone(tls.server_name or address.host).rstrip(".")


_BODY: Final = attrgetter("body")  # of a payload


class _Writing(Struct):
    """The write of a batch, and at how many bytes each of its frames ends."""

    _batch: Batch
    _options: Tcp
    _ends: list[int] = []
    _seeing_off: bool = False

    async def run(self, connection: Connection) -> None:
        """Write all frames; raises `OSError`."""
        await connection.wait_for_room()
        frames = self.frames()
        if (
            self._options.tls is not None
        ):  # encrypted, a frame is longer, and only afterwards it is known how much
            self._ends = []
            for frame in frames:
                await connection.send(frame)
                self._ends.append(self._batch.attempt.sent_bytes)
            await self.send(connection, b"")
        else:
            await self.send(connection, b"".join(frames))

    def frames(self) -> list[bytes]:
        """Return the frames of all events that leave."""
        has_length = self._options.framing == "octet_counting"
        frames = list(map(_BODY, self._batch.freeze()))
        if has_length:
            frames = list(map(_with_length, frames))
        self._ends = list(accumulate(map(len, frames)))
        return frames

    async def send(self, connection: Connection, frames: bytes) -> None:
        """Write frames, or the rest of them; raises `OSError`."""
        if frames:
            await connection.send(frames)
        self._seeing_off = True
        await connection.wait_until_acked()

    def judge(self, yes: Outcome, torn: Outcome, untouched: Outcome) -> Iterator[Outcome]:
        """Choose for each event of a write that has failed, by how many bytes have left."""
        sent_bytes, start = self._batch.attempt.sent_bytes, 0.0
        for _, end in zip_longest(self._batch.events, self._ends, fillvalue=inf):
            whole = end <= sent_bytes and not self._seeing_off
            yield yes if whole else torn if sent_bytes > start else untouched
            start = end


def _with_length(body: bytes) -> bytes:
    """Return a frame of RFC 6587's octet counting."""
    message = body.removesuffix(b"\n")
    return b"%d %b" % (len(message), message)


def _ends_with_lf(options: Tcp) -> bool:
    return options.framing == "lf"


def describe(payload: Payload, options: Tcp, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be written; fail with `Forbidden` for the destination or a TLS file."""
    address, tls = parse_address(options.address), options.tls
    framing = LINE if _ends_with_lf(options) else "octet-counted, without its last line feed"
    departure = WirePreview(
        options.address,
        framing,
        payload.body if _ends_with_lf(options) else _with_length(payload.body),
        {} if tls is None else {"tls": _server_name(tls, address)},
    )
    permitted = network.resolver.permit("tcp", address)
    return permitted.bind(lambda _: network.tls.permit(tls)).map(lambda _: departure)


SINK: Final = Sink(
    Tcp,
    push_to,
    describe,
    ends_with_lf=_ends_with_lf,
    send_many=send_many_to,
    open=open_queue,
)
