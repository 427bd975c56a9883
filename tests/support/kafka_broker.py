"""A Kafka broker of our own that misbehaves as a script says.

It speaks just what a producer needs, in the oldest versions; each request to produce is answered
by the script, and recorded with what identifies the batch.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeAlias

from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest_v3, ProduceResponse_v3
from aiokafka.protocol.transaction import InitProducerIdResponse_v0
from aiokafka.record.memory_records import MemoryRecords

from tests.support.destinations import Arrivals

NO_ERROR: Final = 0
HANG: Final = "hang"
HANG_UP: Final = "hang up"
STALL: Final = "stall"
NOT_LEADER, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND = 6, 19, 20
INVALID_RECORD, OUT_OF_ORDER, UNKNOWN_PRODUCER_ID, INVALID_EPOCH = 87, 45, 59, 47
TOPIC_UNKNOWN, TOPIC_UNAUTHORIZED, CLUSTER_UNAUTHORIZED, MESSAGE_TOO_LARGE = 3, 29, 31, 10

_PRODUCE, _METADATA, _API_VERSIONS, _INIT_PRODUCER_ID = 0, 3, 18, 22
_VERSIONS: Final = {_PRODUCE: 3, _METADATA: 1, _API_VERSIONS: 0, _INIT_PRODUCER_ID: 0}


@dataclass(frozen=True)
class Produced:
    """One batch that came in."""

    producer_id: int
    sequence: int
    values: tuple[bytes, ...]
    records: tuple[tuple[Any, ...], ...] = field(default=(), compare=False)
    """Of each its key, value, headers and timestamp."""


Script: TypeAlias = Callable[[Produced], int | str]
"""What to do with a batch: an error code, 0 for none, `HANG`, `HANG_UP`, or `STALL` for this
connection's last word."""


@dataclass
class Broker:
    """Where it listens, and what has come in."""

    address: str
    port: int
    script: Script
    topic_error: int = NO_ERROR
    id_error: int = NO_ERROR
    partitions: int = 1
    leader: tuple[str, int] | None = None
    versions: Mapping[int, int] = field(default_factory=lambda: dict(_VERSIONS))
    connections: Arrivals = field(default_factory=Arrivals)
    ended: Arrivals = field(default_factory=Arrivals)
    produced: Arrivals = field(default_factory=Arrivals)
    topics: Arrivals = field(default_factory=Arrivals)
    _ids: Iterator[int] = field(default_factory=lambda: count(1000))
    _offsets: Iterator[int] = field(default_factory=lambda: count(0))
    _socks: list[socket.socket] = field(default_factory=list)

    def values(self) -> list[bytes]:
        """The values that were acknowledged or not, in order."""
        return [value for batch in self.produced.items for value in batch.values]

    def hang_up(self) -> None:
        """End every connection."""
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def kafka_broker(
    *answers: int | str,
    host: str = "127.0.0.1",
    port: int = 0,
    script: Script | None = None,
    **options: Any,
) -> Iterator[Broker]:
    """Run a broker; *answers* are for the first batches, all further ones are taken."""
    ordered = iter(answers)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=512) as listener:
        port = listener.getsockname()[1]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        broker = Broker(address, port, script or (lambda _: next(ordered, NO_ERROR)), **options)
        broker.leader = broker.leader or (host, port)
        accepting = threading.Thread(target=_accept, args=(listener, broker))
        accepting.start()
        try:
            yield broker
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, broker: Broker) -> None:
    threads: list[threading.Thread] = []
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            break
        broker._socks.append(sock)
        broker.connections.add(sock.getpeername())
        threads.append(threading.Thread(target=_serve, args=(sock, broker)))
        threads[-1].start()
    broker.hang_up()
    for thread in threads:
        thread.join()


def _serve(sock: socket.socket, broker: Broker) -> None:
    with sock, suppress(OSError, EOFError), sock.makefile("rb") as stream:
        while True:
            (size,) = struct.unpack(">i", _exactly(stream, 4))
            request = io.BytesIO(_exactly(stream, size))
            key, _, correlation, client = struct.unpack(">hhih", request.read(10))
            request.read(client)
            answer = _ANSWERS[key](request, broker)
            if answer is HANG:
                continue
            if answer is HANG_UP:
                break
            if answer is STALL:
                stream.read()
                break
            frame = struct.pack(">i", correlation) + answer.encode()
            sock.sendall(struct.pack(">i", len(frame)) + frame)
    broker.ended.add(sock)


def _exactly(stream: Any, size: int) -> bytes:
    read: bytes = stream.read(size)
    if len(read) < size:
        raise EOFError
    return read


def _api_versions(_: io.BytesIO, broker: Broker) -> Any:
    known = [(key, version, version) for key, version in broker.versions.items()]
    return ApiVersionResponse_v0(NO_ERROR, known)


def _metadata(request: io.BytesIO, broker: Broker) -> Any:
    names = MetadataRequest_v1.decode(request).topics
    broker.topics.add(names)
    count = 0 if broker.topic_error else broker.partitions
    partitions = [(NO_ERROR, number, 7, [7], [7]) for number in range(count)]
    topics = [(broker.topic_error, name, False, partitions) for name in names]
    assert broker.leader
    return MetadataResponse_v1([(7, *broker.leader, None)], 7, topics)


def _init_producer_id(_: io.BytesIO, broker: Broker) -> Any:
    return InitProducerIdResponse_v0(0, broker.id_error, next(broker._ids), 0)


def _produce(request: io.BytesIO, broker: Broker) -> Any:
    asked = ProduceRequest_v3.decode(request)
    assert asked.required_acks == -1
    answered = []
    for topic, partitions in asked.topics:
        for partition, records in partitions:
            batch = MemoryRecords(records).next_batch()
            facts = tuple((one.key, one.value, one.headers, one.timestamp) for one in batch)
            values = tuple(value for _, value, _, _ in facts)
            produced = Produced(batch.producer_id, batch.base_sequence, values, facts)
            verdict = broker.script(produced)
            broker.produced.add(produced)
            if isinstance(verdict, str):
                return verdict
            offset = -1 if verdict else next(broker._offsets)
            answered.append((topic, [(partition, verdict, offset, -1)]))
    return ProduceResponse_v3(answered, 0)


_ANSWERS: Final[Mapping[int, Callable[[io.BytesIO, Broker], Any]]] = {
    _API_VERSIONS: _api_versions,
    _METADATA: _metadata,
    _INIT_PRODUCER_ID: _init_producer_id,
    _PRODUCE: _produce,
}
