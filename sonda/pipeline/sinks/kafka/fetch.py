"""One record of a partition, fetched from its leader; spec: Kafka protocol, Fetch API."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from returns.result import Success

from sonda.pipeline.model import RecordMetadata
from sonda.pipeline.net import Network
from sonda.pipeline.net.threads import in_thread
from sonda.pipeline.sinks import kafka
from sonda.pipeline.sinks.kafka.client import FAILURES, explain
from sonda.pipeline.sinks.kafka.cluster import Clusters
from sonda.pipeline.verify.judging import QueryRefused
from sonda.pipeline.verify.kafka import StoredRecord

_WAIT_MS: Final = 100
_UNCOMMITTED: Final = 0
_MOST_BYTES: Final = 1 << 20  # a larger batch comes whole all the same, if it is the first


async def fetch_record(
    options: Any, place: RecordMetadata, network: Network
) -> StoredRecord | QueryRefused | None:
    """Return the record at *place*, or why it cannot be had; `None` where there is none yet."""
    cluster_key = await kafka.cluster_key_of(kafka.open_topic(options, network), network)
    if not isinstance(cluster_key, Success):
        return QueryRefused(str(cluster_key.failure()))
    async with network.shared(Clusters).lease(cluster_key.unwrap()) as cluster:
        client = cluster.client
        leader = client.leader(TopicPartition(place.topic, place.partition))
        if not leader:
            return QueryRefused("the partition has no leader")
        partitions = [(place.partition, place.offset, _MOST_BYTES)]
        request = FetchRequest(_WAIT_MS, 1, _MOST_BYTES, _UNCOMMITTED, [(place.topic, partitions)])
        try:
            response = await client.send(leader.nodeId, request)
        except FAILURES as exc:
            return QueryRefused(explain(exc))
    return await in_thread(partial(_find, response, place.offset))


def _find(response: Any, offset: int | None) -> StoredRecord | QueryRefused | None:
    """Return the record at *offset* among those that came."""
    for _, partitions in response.topics:
        for _, error_code, *_, message_set in partitions:
            if error_code:
                return QueryRefused(f"error code {error_code}")
            records = MemoryRecords(message_set)
            while records.has_next():
                for record in records.next_batch() or ():
                    if record.offset == offset:
                        headers = tuple((name, value) for name, value in record.headers)
                        return StoredRecord(record.key, record.value, record.timestamp, headers)
    return None
