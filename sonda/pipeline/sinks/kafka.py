"""Apache Kafka, or a broker that speaks its protocol: one event, one record.

**Confirmed:** the leader and all in-sync replicas have the record (`acks=all`, from an idempotent
producer): accepted. Kafka answers before the record is on a disk.
Spec: https://kafka.apache.org/protocol.html
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from returns.result import Failure, Result, Success

from sonda.pipeline.addresses import Address, parse_address
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Acknowledged, Confirmed, Payload, Pending
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.sinks import Sink
from sonda.pipeline.transport import Transport
from sonda.pipeline.transport.kafka import (
    Access,
    Cluster,
    Journey,
    Kept,
    Refusal,
    Silence,
    UnreadyError,
    Verdict,
)
from sonda.pipeline.transport.kafka_client import hash_key
from sonda.pipeline.transport.sasl import Sasl
from sonda.pipeline.transport.tls import KafkaTls
from sonda.pipeline.transport.tries import Retry

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


@dataclass(frozen=True, slots=True)
class _Shipment:
    """One event's record, and where it goes; *target* is how the client wrote the brokers."""

    target: str
    topic: str
    record: Mapping[str, Any]
    key_hash: int | None
    time_ns: int


async def push(
    payload: Payload, options: Kafka, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Get ready to deliver one record; fails with `Forbidden` or `Unreachable`."""
    key = None if options.key is None else options.key.encode()
    record = {
        "key": key,
        "value": payload.body,
        "timestamp_ms": payload.event.time_ns // 1_000_000,
        "headers": [(name, value.encode()) for name, value in options.headers.items()],
    }
    if (size := _bytes(record)) > _LARGEST_BYTES:
        reason = f"a record of {size} bytes is over {_LARGEST_BYTES}, the most that a broker reads"
        return Failure(Unreachable(f"Kafka send to {options.brokers}", reason))
    key_hash = None if key is None else await hash_key(key)
    shipment = _Shipment(options.brokers, options.topic, record, key_hash, payload.event.time_ns)
    context: Result[ssl.SSLContext | None, Problem] = Success(None)
    if options.tls is not None and options.tls.enabled:
        context = await transport.tls.load(options.tls)
    access = context.map(partial(_access, options))
    return access.map(lambda ours: partial(_deliver, shipment, ours, transport, deadline))


def _bytes(record: Mapping[str, Any]) -> int:
    headers = sum(len(name.encode()) + len(value) for name, value in record["headers"])
    return len(record["key"] or b"") + len(record["value"]) + headers


def _access(options: Kafka, context: ssl.SSLContext | None) -> Access:
    """Say what this event shares with others, however the brokers are written."""
    listed = map(parse_address, map(str.strip, options.brokers.split(",")))
    brokers = tuple(dict.fromkeys(Address(host.lower(), port) for host, port in sorted(listed)))
    server_name = options.tls.server_name if options.tls and context else None
    return Access(brokers, context, server_name, options.sasl)


async def _deliver(
    shipment: _Shipment, access: Access, transport: Transport, deadline: Deadline
) -> Result[Acknowledged, Problem]:
    """Deliver the record among others, and once more alone if it was refused because of them."""
    async with transport.kafka.lease(access) as cluster:
        first = await _attempt(shipment, access, cluster, deadline, alone=False)
        verdict = first.value_or(None)
        if not isinstance(verdict, Refusal) or verdict.meant:
            return first.bind(partial(_judge, shipment, deadline))
        second = await _attempt(shipment, access, cluster, deadline, alone=True)
        unfinished = second.lash(lambda _: Success(Silence(f"after {verdict.error}")))
        return unfinished.bind(partial(_judge, shipment, deadline))


async def _attempt(
    shipment: _Shipment, access: Access, cluster: Cluster, deadline: Deadline, *, alone: bool
) -> Result[Verdict, Problem]:
    """Find a partition and hand the record over; all that fails before then is `Unreachable`."""
    journey = Journey(f"Kafka connect to {access.brokers[0]}")
    try:
        async with asyncio.timeout_at(deadline.at_s):
            spot = await cluster.prepare(shipment.topic, shipment.key_hash, journey, alone=alone)
    except UnreadyError:
        return Failure(Unreachable(journey.attempt, journey.setback))
    except TimeoutError:
        return Failure(
            Unreachable(journey.attempt, journey.setback or f"timed out after {deadline}")
        )
    return Success(await spot.deliver(shipment.record, deadline.at_s))


def _judge(
    shipment: _Shipment, deadline: Deadline, verdict: Verdict
) -> Result[Acknowledged, Problem]:
    match verdict:
        case Kept(place, tries):
            return Success(Acknowledged(Confirmed.ACCEPTED, tries=tries, place=place))
        case Refusal(error):
            return Failure(Refused(shipment.target, error))
        case Silence(why):
            reason = f"({why})" if why else f"within {deadline}"
            return Failure(OutcomeUnknown(shipment.target, reason, shipment.time_ns))


SINK: Final = Sink(Kafka, push)
