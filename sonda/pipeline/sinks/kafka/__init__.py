"""Apache Kafka, or a broker that speaks its protocol: one event, one record.

**Confirmed:** the leader and all in-sync replicas have the record (`acks=all`, from an idempotent
producer): accepted. Kafka answers before the record is on a disk.
Spec: https://kafka.apache.org/protocol.html
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from msgspec import Struct
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import UNDER_WAY, AttemptFailure
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, Confirmed, Payload, Pending
from sonda.pipeline.net import Network
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.retry import Retry
from sonda.pipeline.net.tls import KafkaTls
from sonda.pipeline.pieces import Format, Pieces
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.sinks import Sink
from sonda.pipeline.sinks.kafka.client import hash_key
from sonda.pipeline.sinks.kafka.cluster import (
    Cluster,
    ClusterKey,
    Clusters,
    CurrentStep,
    Delivered,
    NoResponse,
    Refusal,
    UnreadyError,
    Verdict,
)
from sonda.pipeline.sinks.options import Sasl
from sonda.pipeline.text.escape import shown
from sonda.pipeline.text.redact import mask, repr_without_secrets, scrub
from sonda.pipeline.unknown_or_unsent import cut_off
from sonda.pipeline.values.addresses import Address, parse_address
from sonda.pipeline.values.timestamps import NS_PER_MS
from sonda.pipeline.wire_preview import WirePreview

_PIECE_EVENTS: Final = 1000
_PIECE_BYTES: Final = 1 << 18
_AROUND_BYTES: Final = 64  # of a record: lengths, offset, time
_LARGEST_BYTES: Final = 100 * 2**20  # a broker hangs up on a larger request, without a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Options of the `kafka` sink; *retry* is accepted, but within *timeout* it tries in any case."""

    brokers: str
    topic: str
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sasl: Sasl | None = None
    max_buffer_age: str = "0s"
    tls: KafkaTls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


@dataclass(frozen=True, slots=True)
class _Topic:
    """What all events of a sink share; *target* is the brokers as the client wrote them."""

    options: Kafka
    target: str
    brokers: tuple[Address, ...]
    name: str
    key: bytes | None
    headers: list[tuple[str, bytes]] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def open_topic(options: Kafka, _network: Network) -> _Topic:
    """Return the options in a normal form: order and repetition of brokers do not matter."""
    listed = map(parse_address, map(str.strip, options.brokers.split(",")))
    brokers = tuple(dict.fromkeys(Address(host.lower(), port) for host, port in sorted(listed)))
    password = (options.sasl.password,) if options.sasl else ()
    return _Topic(
        options=options,
        target=shown(options.brokers),
        brokers=brokers,
        name=options.topic,
        key=None if options.key is None else options.key.encode(),
        headers=[(name, value.encode()) for name, value in options.headers.items()],
        secrets=(*password, *options.headers.values()),
    )


class _Shipment(Struct, frozen=True):
    """One event's record, or those of a piece, and where they go."""

    topic: _Topic
    records: Sequence[Mapping[str, Any]]
    key_hash: int | None
    time_ns: int


async def push(
    payload: Payload, topic: _Topic, network: Network, deadline: Deadline
) -> Result[Pending, Problem]:
    """Return the delivery of one record, or of a piece; fail with `Forbidden` or `Unreachable`."""
    made = _record(payload, topic, network)
    if not isinstance(made, Success):
        return Failure(made.failure())
    record = made.unwrap()
    records = (record,) if payload.count == 1 else _split(payload, record)
    key_hash = None if topic.key is None else await hash_key(topic.key)
    shipment = _Shipment(topic, records, key_hash, payload.event.time_ns)
    cluster_key = await cluster_key_of(topic, network)
    return cluster_key.map(lambda ours: partial(_deliver, shipment, ours, network, deadline))


async def cluster_key_of(topic: _Topic, network: Network) -> Result[ClusterKey, Problem]:
    """Return the key of the cluster; fails with `Forbidden` or `Unreachable` for the TLS files."""
    context: Result[ssl.SSLContext | None, Problem] = Success(None)
    if (tls := _tls(topic.options)) is not None:
        context = await network.tls.load(tls)
    return context.map(partial(_cluster_key, topic))


def _record(
    payload: Payload, topic: _Topic, network: Network
) -> Result[Mapping[str, Any], Problem]:
    """Return the record; fail with `Forbidden`, or `Unreachable` if it is too long."""
    record = {
        "key": topic.key,
        "value": payload.body,
        "timestamp_ms": payload.event.time_ns // NS_PER_MS,
        "headers": topic.headers,
    }
    for broker in topic.brokers:
        permitted = network.resolver.permit("kafka", broker)
        if not isinstance(permitted, Success):
            return Failure(permitted.failure())
    if (size := _bytes(record)) > _LARGEST_BYTES:
        reason = f"a record of {size} bytes is over {_LARGEST_BYTES}, the most that a broker reads"
        return Failure(Unreachable(f"Kafka send to {topic.target}", reason, is_final=True))
    return Success(record)


def _split(payload: Payload, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the records of a piece, whose events have as many lines each; *record* holds them all."""
    lines = payload.body.split(b"\n")
    size = (len(lines) - 1) // payload.count
    return [
        {**record, "value": b"\n".join([*of, b""]), "timestamp_ms": time_ns // NS_PER_MS}
        for time_ns, *of in zip(payload.times_ns, *[iter(lines)] * size, strict=False)
    ]


def _pieces(options: Kafka, written: Format) -> Pieces | None:
    """Return how records share a batch, which brokers take up to a megabyte of; a piece is one."""
    if not written.lines:
        return None
    around = sum(len(name) + len(value) for name, value in options.headers.items())
    around += len(options.key or "") + _AROUND_BYTES
    events = max(1, min(_PIECE_EVENTS, _PIECE_BYTES // around))
    return Pieces(events=events, size_bytes=_PIECE_BYTES, timed=True)


def _tls(options: Kafka) -> KafkaTls | None:
    return options.tls if options.tls is not None and options.tls.enabled else None


def describe(payload: Payload, options: Kafka, network: Network) -> Result[WirePreview, Problem]:
    """Return the record that would be produced; fail as `push` does, except for unreadable TLS files."""
    topic, tls, sasl = open_topic(options, network), _tls(options), options.sasl
    facts: dict[str, str | int] = {"topic": topic.name}
    if options.key is not None:
        facts["key"] = options.key
    if tls is not None:
        facts["tls"] = tls.server_name or "each broker's own name"
    if sasl is not None:
        facts["sasl"] = f"{sasl.mechanism} as {sasl.username}"

    def departure(record: Mapping[str, Any]) -> WirePreview:
        headers = mask((name, value.decode()) for name, value in record["headers"])
        told = {**facts, "timestamp_ms": record["timestamp_ms"]}
        return WirePreview(topic.target, "one record", record["value"], told, headers)

    made = _record(payload, topic, network)
    return made.bind(lambda record: network.tls.permit(tls).map(lambda _: departure(record)))


def _bytes(record: Mapping[str, Any]) -> int:
    headers = sum(len(name.encode()) + len(value) for name, value in record["headers"])
    return len(record["key"] or b"") + len(record["value"]) + headers


def _cluster_key(topic: _Topic, context: ssl.SSLContext | None) -> ClusterKey:
    """Return the key of the cluster that this event uses."""
    options = topic.options
    server_name = options.tls.server_name if options.tls and context else None
    return ClusterKey(topic.brokers, context, server_name, options.sasl)


async def _deliver(
    shipment: _Shipment, cluster_key: ClusterKey, network: Network, deadline: Deadline
) -> Result[Ack, Problem]:
    """Deliver the record with others, and once more alone if it was refused because of them."""
    async with network.shared(Clusters).lease(cluster_key) as cluster:
        first = await _attempt(shipment, cluster_key, cluster, deadline, isolated=False)
        verdict = first.value_or(None)
        if not isinstance(verdict, Refusal) or verdict.meant:
            return first.bind(partial(_judge, shipment, deadline))
        second = await _attempt(shipment, cluster_key, cluster, deadline, isolated=True)
        unfinished = second.lash(lambda _: Success(NoResponse(f"after {verdict.error}")))
        return unfinished.bind(partial(_judge, shipment, deadline))


async def _attempt(
    shipment: _Shipment,
    cluster_key: ClusterKey,
    cluster: Cluster,
    deadline: Deadline,
    *,
    isolated: bool,
) -> Result[Verdict, Problem]:
    """Find a partition and hand the record over; fail with `Unreachable` before that, or `Forbidden`."""
    partition = None if isolated else cluster.ready(shipment.topic.name, shipment.key_hash)
    if partition is not None:
        return Success(await partition.deliver(shipment.records, deadline.at_s))
    step = CurrentStep(f"Kafka connect to {cluster_key.brokers[0]}")
    try:
        async with asyncio.timeout_at(deadline.at_s):
            partition = await cluster.prepare(
                shipment.topic.name, shipment.key_hash, step, isolated=isolated
            )
    except asyncio.CancelledError as exc:
        if not isolated:  # else the first try's record has left
            target, time_ns = shipment.topic.target, shipment.time_ns
            explain(exc, cut_off(target, step.name, has_left=False, time_ns=time_ns))
        raise
    except DestinationNotAllowed as exc:
        return Failure(exc.problem)
    except (UnreadyError, TimeoutError):
        words = scrub(step.failure, shipment.topic.secrets)
        return Failure(Unreachable(step.name, words or f"timed out after {deadline}"))
    return Success(await partition.deliver(shipment.records, deadline.at_s))


def _judge(shipment: _Shipment, deadline: Deadline, verdict: Verdict) -> Result[Ack, Problem]:
    match verdict:
        case Delivered(place, tries):
            return Success(Ack(Confirmed.ACCEPTED, tries=tries, place=place))
        case Refusal(error):
            refused = Refused(shipment.topic.target, error)
            if len(shipment.records) > 1:  # it may be one record's fault
                for delivery in UNDER_WAY.get():
                    delivery.failed(AttemptFailure(refused, per_event=True))
            return Failure(refused)
        case NoResponse(why):
            words = scrub(why, shipment.topic.secrets)
            reason = f"({words})" if words else f"within {deadline}"
            return Failure(OutcomeUnknown(shipment.topic.target, reason, shipment.time_ns))


SINK: Final = Sink(
    Kafka,
    push,
    describe,
    side_by_side=True,
    open=open_topic,
    pieces=_pieces,
    headers_are_ordered=True,
)
