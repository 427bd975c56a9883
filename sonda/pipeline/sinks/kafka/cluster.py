"""Kafka clusters in use: each with one client and one idempotent producer, kept while in use."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTopicError,
    KafkaError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
    UnknownProducerId,
)
from msgspec import Struct

from sonda.pipeline.model import RecordMetadata
from sonda.pipeline.net import Network
from sonda.pipeline.net.resolve import Resolver
from sonda.pipeline.sinks.kafka.client import (
    BACKOFF_S,
    FAILURES,
    OURS,
    Client,
    Producer,
    RecordBatch,
    end,
    explain,
)
from sonda.pipeline.sinks.options import Sasl
from sonda.pipeline.values.addresses import Address

IDLE_S: Final = 120.0  # a broker hangs up after ten minutes
IDLE_CLUSTERS: Final = 64  # beyond them the one that has been idle for longest is closed
_NEVER: Final = (InvalidTopicError, TopicAuthorizationFailedError)  # waiting does not help
_GAP: Final = (
    OutOfOrderSequenceNumber,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    UnknownProducerId,
)


class ClusterKey(Struct, frozen=True):
    """The key of a cluster: events with equal values share its connections."""

    brokers: tuple[Address, ...]
    context: ssl.SSLContext | None
    server_name: str | None
    login: Sasl | None


@dataclass(slots=True)
class CurrentStep:
    """The step that an event waits for before its record is handed over, and its last failure."""

    name: str
    failure: str = ""

    def begin(self, name: str, failure: str = "") -> None:
        """Record the next step; it may be the same one again."""
        if name != self.name or failure:
            self.name, self.failure = name, failure


class UnreadyError(Exception):
    """A record cannot be handed over, and waiting would not help; the `CurrentStep` says why."""


class Delivered(Struct, frozen=True):
    """The leader and all in-sync replicas have the record."""

    place: RecordMetadata
    tries: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A broker's refusal; *meant* is true if it is about this record, not one beside or before it."""

    error: str
    meant: bool


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Neither a yes nor a no; *why* is empty where the deadline is over."""

    why: str = ""


Verdict: TypeAlias = Delivered | Refusal | NoResponse


class PartitionHandle(Struct, frozen=True):
    """A partition whose leader is connected, and the producer that numbers its batches."""

    cluster: Cluster
    producer: Producer
    place: Any

    async def deliver(self, records: Sequence[Mapping[str, Any]], until_s: float) -> Verdict:
        """Hand a record over, or those of a piece, and wait for the broker's verdict until loop time *until_s*."""
        self.producer.records += 1
        try:
            batch, future = self.producer.hand_over(self.place, records)
            try:
                async with asyncio.timeout_at(until_s):
                    return _kept(await future, batch)
            except (TimeoutError, KafkaError) as exc:
                return _judge(batch, exc)
            finally:
                if future.cancelled():  # let the next event find out what is wrong in good time
                    self.producer.spent = True
        finally:
            self.producer.records -= 1
            self.cluster.release(self.producer)


def _kept(found: Any, batch: RecordBatch) -> Delivered:
    offset = found.offset if found.offset >= 0 else None
    return Delivered(RecordMetadata(found.topic, found.partition, offset), batch.retry_count)


def _judge(batch: RecordBatch, exc: Exception) -> Verdict:
    """Return whether the broker refused the record, or its outcome is unknown.

    A batch that was refused time after time has not been kept, provided that no try went without
    an answer and, where time is over, that nobody else has it tried again.
    """
    late = isinstance(exc, TimeoutError)
    if batch.error is None:
        return NoResponse() if late else NoResponse(explain(exc))
    if batch.unanswered or (late and batch.wanted()):
        return NoResponse(f"after {batch.error_name}")
    is_alone = batch.is_piece or batch.record_count == 1
    meant = is_alone and not isinstance(batch.error, _GAP)
    return Refusal(batch.error_name, meant or late)


class Cluster:
    """One cluster as one login sees it."""

    def __init__(self, key: ClusterKey, resolver: Resolver) -> None:
        self._key = key
        self._client = Client(key.brokers, key.context, key.server_name, key.login, resolver)
        self._shared: dict[str, asyncio.Task[Any]] = {}
        self._known = False
        self._producer: Producer | None = None
        self._producers: set[Producer] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self.users = 0

    @property
    def client(self) -> Client:
        """Return what knows the brokers and is connected to them."""
        return self._client

    def ready(self, topic: str, key_hash: int | None) -> PartitionHandle | None:
        """Return what `prepare` does if nothing has to be awaited, as for nearly every event; else `None`."""
        producer = self._producer
        if not self._known or producer is None or not producer.usable():
            return None
        self._client.want(topic)
        place = self._client.locate(topic, key_hash)
        leader = place and self._client.leader(place)
        connected = leader and self._client.is_connected(leader)
        return PartitionHandle(self, producer, place) if connected else None

    async def prepare(
        self, topic: str, key_hash: int | None, step: CurrentStep, *, isolated: bool
    ) -> PartitionHandle:
        """Find a partition whose leader is connected, so that `PartitionHandle.deliver` can follow.

        Waits for an election, a topic under creation or a broker's restart. With *isolated* the
        record gets a producer id of its own. Raises `UnreadyError` if no broker can be reached, and
        `DestinationNotAllowed` if one that the client has named may not be.
        """
        producer: Producer | None = None
        try:
            while True:
                place = await self._lead(topic, key_hash, step)
                if place is None:
                    continue
                if producer is None or not producer.usable():
                    producer = await self._number(step, isolated=isolated)
                    continue  # time has passed: look again
                return PartitionHandle(self, producer, place)
        except BaseException:
            self._client.forget_unknown(topic)
            self.release(producer)
            raise

    async def _lead(self, topic: str, key_hash: int | None, step: CurrentStep) -> Any:
        """Return a partition with a connected leader; `None` after a step towards one."""
        self._client.want(topic)
        if not self._known:
            await self._bootstrap(step)
        place = self._client.locate(topic, key_hash)
        leader = place and self._client.leader(place)
        if leader:
            address = Address(leader.host, leader.port)
            step.begin(f"Kafka connect to {address}")
            if await self._client.reach(leader):
                return place
            step.begin(f"Kafka connect to {address}", self._client.failures.get(address, ""))
        else:
            self._wait_for_leader(topic, place, step)
        if not await self._client.refresh():
            self._known = False
        return None

    def _wait_for_leader(self, topic: str, place: Any, step: CurrentStep) -> None:
        error = self._client.topic_errors.get(topic)
        if place is not None:
            step.begin(f"find the leader of Kafka partition {place.topic}-{place.partition}")
        elif error is None:
            step.begin(f"find Kafka topic {topic}")
        else:
            step.begin(f"find Kafka topic {topic}", error.message)
        if error in _NEVER:
            raise UnreadyError

    async def _bootstrap(self, step: CurrentStep) -> None:
        """Fetch the metadata from the configured brokers; raise `UnreadyError` if none answers."""
        first, *others = self._key.brokers
        if not step.failure:  # else what stood in the way tells more than that we ask again
            step.begin(f"Kafka connect to {first}")
        if await self._share("bootstrap", self._client.bootstrap()):
            self._known = True
            return
        why = [self._client.failures.get(broker, "no answer") for broker in self._key.brokers]
        words = [f"{other}: {reason}" for other, reason in zip(others, why[1:], strict=True)]
        step.begin(f"Kafka connect to {first}", "; ".join([why[0], *words]))
        raise UnreadyError

    async def _number(self, step: CurrentStep, *, isolated: bool) -> Producer | None:
        """Return a producer, the shared one unless it is spent; `None` if that failed."""
        step.begin("get a Kafka producer id")
        try:
            if isolated:
                return await self._start()
            if self._producer is None or not self._producer.usable():
                await self._share("producer", self._renew())
        except FAILURES as exc:
            step.begin("get a Kafka producer id", explain(exc))
            if not getattr(exc, "retriable", isinstance(exc, OSError)):
                raise UnreadyError from None
            await asyncio.sleep(BACKOFF_S)
            return None
        return self._producer

    async def _renew(self) -> None:
        self._producer = None
        self._producer = await self._start()

    async def _start(self) -> Producer:
        producer = Producer(self._client)
        self._producers.add(producer)
        try:
            await producer.start()
        except BaseException:
            self._producers.discard(producer)
            await producer.aclose()
            raise
        return producer

    async def _share(self, name: str, work: Any) -> Any:
        """Run *work* once for all events that wait for it; it continues when one gives up."""
        task = self._shared.get(name)
        if task is None:
            task = self._shared[name] = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(partial(self._forget, name))
        else:
            work.close()
        return await asyncio.shield(task)

    def _forget(self, name: str, task: asyncio.Task[Any]) -> None:
        del self._shared[name]
        if not task.cancelled():
            task.exception()  # all who waited may have given up

    def release(self, producer: Producer | None) -> None:
        """Close a producer that waits for no record and will get none."""
        if (
            producer is None
            or producer.records
            or (producer is self._producer and producer.usable())
        ):
            return
        self._producers.discard(producer)
        ending = asyncio.get_running_loop().create_task(producer.aclose())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Close everything; no event uses it any more."""
        await end(list(self._shared.values()))
        await asyncio.gather(*self._ending)
        for producer in self._producers:
            await producer.aclose()
        await self._client.aclose()


class Clusters:
    """The clusters in use, and those that are idle."""

    def __init__(self, network: Network) -> None:
        self._resolver = network.resolver
        self._kept: dict[ClusterKey, Cluster] = {}
        self._idle: dict[ClusterKey, asyncio.TimerHandle] = {}  # the oldest first
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lease(self, key: ClusterKey) -> AsyncIterator[Cluster]:
        """Lease a cluster; many events may at once."""
        cluster = self._kept.get(key)
        if cluster is None:
            cluster = self._kept[key] = Cluster(key, self._resolver)
        elif not cluster.users:
            self._idle.pop(key).cancel()
        cluster.users += 1
        quiet = OURS.set(True)
        try:
            yield cluster
        finally:
            OURS.reset(quiet)
            cluster.users -= 1
            if not cluster.users:
                self._retire_later(key)

    async def aclose(self) -> None:
        """Close all idle clusters; every lease must have ended."""
        for key in list(self._idle):
            self._retire(key)
        await asyncio.gather(*self._closing)

    def _retire_later(self, key: ClusterKey) -> None:
        loop = asyncio.get_running_loop()
        self._idle[key] = loop.call_later(IDLE_S, self._retire, key)
        if len(self._idle) > IDLE_CLUSTERS:
            self._retire(next(iter(self._idle)))

    def _retire(self, key: ClusterKey) -> None:
        self._idle.pop(key).cancel()
        closing = asyncio.get_running_loop().create_task(self._kept.pop(key).aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
