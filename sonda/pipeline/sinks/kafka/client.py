"""aiokafka's client, overridden where it hides what a sink must know.

`aiokafka.AIOKafkaProducer` logs and forgets why a broker could not be reached, chooses a partition
and hands a record over in one step, tries a batch again for ever, and tells a record's sender
neither what travelled beside it nor whether a try went without an answer. It is but a thin cover of
the classes that are derived from here; a change of theirs is why `pyproject.toml` caps its version.
Every connection is opened in `Client.open`, on a socket of `sockets.open_socket`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
import socket
import ssl
import struct
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import (
    BrokerResponseError,
    KafkaConnectionError,
    KafkaError,
    KafkaProtocolError,
    NodeNotReadyError,
    NotEnoughReplicasAfterAppendError,
    RequestTimedOutError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition
from aiokafka.util import INTEGER_MAX_VALUE

from sonda.about import version
from sonda.pipeline.net.resolve import DestinationNotAllowed, Resolver
from sonda.pipeline.net.sockets import is_late, open_socket, words
from sonda.pipeline.net.threads import in_thread
from sonda.pipeline.sinks.options import Sasl
from sonda.pipeline.text.escape import excerpt
from sonda.pipeline.values.addresses import Address
from sonda.pipeline.values.durations import LONGEST_S

ANSWER_S: Final = 10.0  # a connection that is silent for so long with a request open is given up
BACKOFF_S: Final = 0.1
_GOODBYE_S: Final = 1.0
_ANSWER_BYTES: Final = 2**19  # some 20,000 partitions, which keep the loop for 50 ms
_NO_LENGTH: Final = 2**24  # four bytes of HTTP or TLS, read as a length, say more
_LARGE_ANSWER_BYTES: Final = 2**14  # the loop decodes some 2 MB a second
_SCRAM_ITERATIONS: Final = 200_000  # some 0.3 s of a thread; a Kafka broker asks for 16,384 at most
_BATCH_BYTES: Final = 16384
_TOPICS: Final = 1000
_LONG_KEY: Final = 10_000
_HEAD_START_S: Final = 0.25
_GARBLED: Final = (
    AssertionError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
)
"""Exceptions of aiokafka for an answer that makes no sense."""
_UNCERTAIN: Final = (
    KafkaConnectionError,
    KafkaProtocolError,
    RequestTimedOutError,
    NotEnoughReplicasAfterAppendError,
)
"""Errors of an attempt whose records may have been kept all the same."""
FAILURES: Final = (OSError, EOFError, KafkaError, *_GARBLED)
"""Exceptions of an exchange with a broker."""
_LATER_ERRORS: Final = {  # those that came after aiokafka's table and that a produce may meet
    74: "FENCED_LEADER_EPOCH",
    76: "UNSUPPORTED_COMPRESSION_TYPE",
    87: "INVALID_RECORD",
    89: "THROTTLING_QUOTA_EXCEEDED",
}

_LOG: Final = logging.getLogger("sonda")
OURS: Final = ContextVar("OURS", default=False)
"""Set where aiokafka works for us.

It logs each try of each request, with a broker's own words, and at debug level passwords; what
matters of that is in the problems. What it does for others is not ours to silence.
"""
for _name in ("aiokafka", "aiokafka.conn", "aiokafka.cluster", "aiokafka.producer.sender"):
    logging.getLogger(_name).addFilter(lambda _: not OURS.get())


class NotKafkaError(ConnectionError):
    """The peer speaks no Kafka, or none that aiokafka speaks."""


def explain(exc: BaseException) -> str:
    """Return on one line why an exchange with a broker failed."""
    if isinstance(exc, BrokerResponseError):
        own = exc.args[0] if exc.args and isinstance(exc.args[0], str) else ""
        return f"{exc.message}: {excerpt(own)}" if own else str(exc.message)
    if isinstance(exc, KafkaConnectionError) and isinstance(exc.__cause__, Exception):
        return explain(exc.__cause__)
    if isinstance(exc, EOFError) or (isinstance(exc, ConnectionResetError) and not exc.args):
        return "the broker closed the connection"
    if isinstance(exc, OSError):
        return f"no answer within {ANSWER_S:g}s" if is_late(exc) else excerpt(words(exc))
    if isinstance(exc, _GARBLED):
        return "the answer is no Kafka broker's"
    return excerpt(str(exc.args[0])) if exc.args else type(exc).__name__


async def hash_key(key: bytes) -> int:
    """Return the hash of a record's key as Kafka's default partitioner does; a long one in a thread."""
    hashed: int = await in_thread(lambda: murmur2(key)) if len(key) > _LONG_KEY else murmur2(key)
    return hashed & 0x7FFFFFFF


# --- connections ---------------------------------------------------------------------------------


def _check_name(server_name: str) -> None:
    """Raise `OSError` for a name that TLS cannot carry; uvloop would log a traceback instead."""
    try:
        server_name.encode("idna")
    except UnicodeError:
        raise OSError("TLS: the server's name has a part of more than 63 characters") from None


class _Reader(asyncio.StreamReader):
    """A stream of answers, each of which is bounded, and handed to *prepare* if it is large.

    It does not wait for gigabytes because four bytes of something else say so.
    """

    def __init__(self, prepare: Callable[[bytes], Awaitable[None]], **options: Any) -> None:
        super().__init__(**options)
        self._prepare = weakref.WeakMethod(prepare)  # aiokafka's connections are in no circle

    async def readexactly(self, n: int) -> bytes:
        if not 0 <= n <= _NO_LENGTH:
            raise NotKafkaError("the answer is no Kafka broker's")
        if n > _ANSWER_BYTES:
            raise NotKafkaError(f"an answer of {n} bytes is over the {_ANSWER_BYTES} that are read")
        answer = await super().readexactly(n)
        if n > _LARGE_ANSWER_BYTES and (prepare := self._prepare()) is not None:
            await prepare(answer)
        return answer


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka has no types
    """A connection whose socket is ours, so that what it may connect to is decided in one place."""

    def __init__(
        self, address: Address, server_name: str | None, resolver: Resolver, **settings: Any
    ) -> None:
        super().__init__(*address, **settings)
        self._resolver = resolver
        self._server_name = (server_name or address.host).rstrip(".")
        self._transport: asyncio.Transport | None = None
        self._counted = False

    async def _decode_beside(self, answer: bytes) -> None:
        """Decode a large answer in a thread: `aiokafka` would keep the event loop meanwhile."""
        correlation_id, request, waiting = self._requests[0]
        if correlation_id is not None and not waiting.done():
            decoded = _Decoded(request, await in_thread(partial(_decode, request, answer)))
            self._requests[0] = (correlation_id, decoded, waiting)

    async def connect(self) -> None:
        """Connect, look up the broker's versions, and log in; may raise `DestinationNotAllowed`."""
        loop = asyncio.get_running_loop()
        self._closed_fut = loop.create_future()
        secure = self._ssl_context is not None
        address = Address(self.host, self.port)
        if secure:
            _check_name(self._server_name)
        sock = await open_socket(await self._resolver.find("kafka", address, socket.SOCK_STREAM))
        reader = _Reader(self._decode_beside, loop=loop)
        protocol = AIOKafkaProtocol(self._closed_fut, reader, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol,
                sock=sock,
                ssl=self._ssl_context,
                server_hostname=self._server_name if secure else None,
            )
        except BaseException:
            sock.close()
            raise
        self._transport = transport
        self._reader, self._protocol = reader, protocol
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._read_task = self._create_reader_task()
        try:
            await self._do_version_lookup()
            self._check_versions()
            if self._security_protocol.startswith("SASL_"):
                await self._do_sasl_handshake()
        except BaseException:
            self.close()
            transport.abort()
            raise
        self._counted = True
        self._resolver.observer.connection_opened("kafka")

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """Close; after an error abort, since TLS would wait for the peer's close_notify."""
        if self._counted:
            self._counted = False
            self._resolver.observer.connection_closed("kafka")
        closed = super().close(reason, exc)
        if reason is not None and self._transport is not None:
            self._transport.abort()
        return closed

    def _check_versions(self) -> None:
        """Raise `NotKafkaError` if a request that will be needed has no common version."""
        for request in (
            MetadataRequest([]),
            InitProducerIdRequest(None, 0),
            ProduceRequest("", -1, 0, []),  # a transaction's needs the version that has headers
        ):
            try:
                request.prepare(self._versions)
            except (KafkaError, NotImplementedError):
                name = type(request).__name__
                raise NotKafkaError(f"no common version of Kafka's {name}") from None

    async def aclose(self) -> None:
        """Close, and wait briefly for TLS's close_notify."""
        if self._transport is None:
            return
        self.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await asyncio.shield(self._closed_fut)
        self._transport.abort()

    def authenticator_plain(self) -> Any:
        return _off_the_loop(super().authenticator_plain())

    def authenticator_scram(self) -> Any:
        authenticator = super().authenticator_scram()
        authenticator.create_salted_password = partial(
            _salt_password, authenticator.create_salted_password
        )
        return _off_the_loop(authenticator)


def _salt_password(salt_password: Callable[..., None], salt: bytes, iterations: int) -> None:
    """Salt a password for SCRAM; raise `NotKafkaError` where the server asks for too much work."""
    if iterations > _SCRAM_ITERATIONS:
        raise NotKafkaError(
            f"the broker asks for {iterations} iterations of SCRAM; at most {_SCRAM_ITERATIONS} are done"
        )
    salt_password(salt, iterations)


class _Decoded:
    """A request whose answer is decoded already."""

    def __init__(self, request: Any, response: Any) -> None:
        self.parse_response_header = request.parse_response_header
        self.RESPONSE_TYPE = self
        self._response = response

    def decode(self, _stream: io.BytesIO) -> Any:
        return self._response


def _decode(request: Any, answer: bytes) -> Any:
    stream = io.BytesIO(answer)
    request.parse_response_header(stream)
    return request.RESPONSE_TYPE.decode(stream)


def _off_the_loop(authenticator: Any) -> Any:
    """Compute in a daemon thread: the server chooses the cost of SCRAM."""
    authenticator.step = lambda payload: in_thread(partial(authenticator._step, payload))  # noqa: SLF001
    return authenticator


# --- a client: metadata and connections ----------------------------------------------------------


class Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka has no types
    """The metadata of a cluster, and one connection to each broker that was needed."""

    def __init__(
        self,
        brokers: tuple[Address, ...],
        context: ssl.SSLContext | None,
        server_name: str | None,
        login: Sasl | None,
        resolver: Resolver,
    ) -> None:
        self._resolver = resolver
        self._settings = {
            "client_id": f"sonda/{version()}",
            "request_timeout_ms": int(ANSWER_S * 1000),
            "ssl_context": context,
            "security_protocol": ("SASL_" if login else "")
            + ("PLAINTEXT" if context is None else "SSL"),
            "sasl_mechanism": login and login.mechanism,
            "sasl_plain_username": login and login.username,
            "sasl_plain_password": login and login.password,
        }
        super().__init__(**self._settings, retry_backoff_ms=int(BACKOFF_S * 1000))
        self._brokers = brokers
        self._server_name = server_name
        self._opening: dict[Any, asyncio.Task[Any]] = {}
        self._topics: dict[str, None] = {}
        self._sync_task: asyncio.Task[None] | None = None
        self._next_update_s = 0.0
        self.failures: dict[Any, str] = {}
        """The reason why the last attempt to reach a broker failed, by its address."""
        self.topic_errors: dict[str, type[BrokerResponseError]] = {}

    async def bootstrap(self) -> bool:
        """Fetch the cluster's metadata from any of the brokers; return whether one answered.

        They are asked one after the other, but none waits long for the one before it.
        """
        waiting, asking, known = deque(self._brokers), set[asyncio.Task[bool]](), False
        try:
            while not known and (waiting or asking):
                if waiting:
                    asking.add(self._loop.create_task(self._ask(waiting.popleft())))
                done, asking = await asyncio.wait(
                    asking,
                    timeout=_HEAD_START_S if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                known = any(task.result() for task in done)
        finally:
            await end(asking)
        if known and self._sync_task is None:
            self._sync_task = self._loop.create_task(self._md_synchronizer())
        return known

    async def _ask(self, address: Address) -> bool:
        """Fetch the cluster's metadata from one of the configured brokers; return whether it answered."""
        try:
            async with asyncio.timeout(ANSWER_S):
                connection = await self.open(address)
                try:
                    answer = await connection.send(MetadataRequest(list(self._topics)))
                    if not self._learn(answer):
                        raise NotKafkaError("the broker knows of no brokers")  # noqa: TRY301
                except BaseException:
                    await connection.aclose()
                    raise
        except FAILURES as exc:
            self.failures[address] = explain(exc)
            return False
        await self._adopt(address, connection)
        return True

    async def _adopt(self, address: Address, connection: Connection) -> None:
        """Keep the connection if the cluster's metadata has the broker under the same address."""
        for broker in self.cluster.brokers():
            node = (broker.nodeId, ConnectionGroup.DEFAULT)
            if (broker.host, broker.port) == address and not self._connection(node):
                self._conns[node] = connection
                return
        await connection.aclose()

    def _connection(self, node: Any) -> Connection | None:
        kept: Connection | None = self._conns.get(node)
        return kept if kept is not None and kept.connected() else None

    async def open(self, address: Address) -> Connection:
        """Open a connection, in this place alone; raise `DestinationNotAllowed` or one of `FAILURES`."""
        connection = Connection(
            address,
            self._server_name,
            self._resolver,
            on_close=self._on_connection_closed,
            **self._settings,
        )
        await connection.connect()
        self.failures.pop(address, None)
        return connection

    def locate(self, topic: str, key_hash: int | None) -> TopicPartition | None:
        """Return a partition, chosen as Kafka's own producers do: by the key, else any with a leader."""
        known = self.cluster.partitions_for_topic(topic)
        if not known:
            return None
        if key_hash is not None:
            return TopicPartition(topic, sorted(known)[key_hash % len(known)])
        led = self.cluster.available_partitions_for_topic(topic)
        return TopicPartition(topic, random.choice(list(led or known)))  # noqa: S311  # no secret

    def leader(self, place: TopicPartition) -> Any:
        """Return the broker that leads a partition, or `None` where the cluster does not know it."""
        return self.cluster.broker_metadata(self.cluster.leader_for_partition(place))

    def is_connected(self, broker: Any) -> bool:
        """Return whether there is a connection to a broker."""
        return self._connection((broker.nodeId, ConnectionGroup.DEFAULT)) is not None

    async def reach(self, broker: Any) -> bool:
        """Connect to a broker unless it is connected; return whether it is."""
        return await self._get_conn(broker.nodeId) is not None

    def want(self, topic: str) -> None:
        """Include a topic in metadata requests from now on."""
        if topic not in self._topics:  # a new object, because the old one is compared with it
            self._topics = dict.fromkeys([*list(self._topics)[1 - _TOPICS :], topic])

    async def refresh(self) -> bool:
        """Fetch the metadata of the cluster and the wanted topics; return whether a broker answered."""
        answered: bool = await self.force_metadata_update()
        return answered

    def forget_unknown(self, topic: str) -> None:
        """Leave a topic out of metadata requests if it does not exist."""
        if self.cluster.partitions_for_topic(topic) is None:
            self._topics = dict.fromkeys(known for known in self._topics if known != topic)

    async def aclose(self) -> None:
        """Close all connections, whatever waits for them."""
        tasks = [*self._opening.values(), *filter(None, [self._sync_task])]
        await end(tasks)
        await asyncio.gather(*(connection.aclose() for connection in self._conns.values()))

    async def _get_conn(
        self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, **_: Any
    ) -> Any:
        """Return the connection to a broker, or `None`; concurrent callers share one attempt."""
        node = (node_id, group)
        if kept := self._connection(node):
            return kept
        broker = self.cluster.broker_metadata(node_id)
        if broker is None:
            return None
        address = Address(broker.host, broker.port)
        opening = self._opening.get(node)
        if opening is None:
            opening = self._loop.create_task(self._open_node(node, address))
            self._opening[node] = opening
            opening.add_done_callback(lambda _: self._opening.pop(node, None))
        return await asyncio.shield(opening)

    async def _open_node(self, node: Any, address: Address) -> Connection | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                connection = await self.open(address)
        except (
            DestinationNotAllowed,
            *FAILURES,
        ) as exc:  # what the cluster calls a broker may be anything
            self.failures[address] = explain(exc)
            self.force_metadata_update()  # there may be another leader by now
            return None
        if kept := self._connection(node):  # `bootstrap` was quicker
            await connection.aclose()
            return kept
        self._conns[node] = connection
        return connection

    async def _metadata_update(self, _cluster: Any, topics: Iterable[str]) -> bool:
        """Ask the brokers, connected ones first, until one answers; at most once per backoff."""
        await asyncio.sleep(self._next_update_s - self._loop.time())
        self._next_update_s = self._loop.time() + BACKOFF_S
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        random.shuffle(nodes)
        nodes.sort(key=lambda node_id: not self._connection((node_id, ConnectionGroup.DEFAULT)))
        for node_id in nodes:
            connection = await self._get_conn(node_id)
            if connection is None:
                continue
            try:
                return self._learn(await connection.send(MetadataRequest(list(topics))))
            except FAILURES:
                await connection.aclose()
        return False

    def _learn(self, answer: Any) -> bool:
        """Store a broker's metadata; return whether it names any brokers."""
        self.topic_errors = {name: for_code(code) for code, name, *_ in answer.topics if code}
        if answer.brokers:
            self.cluster.update_metadata(answer)
        return bool(answer.brokers)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


# --- a producer: one producer id, and the batches that are numbered under it ---------------------


class RecordBatch(MessageBatch):  # type: ignore[misc]  # aiokafka has no types
    """Records that travel together; *error* is the broker's last answer, if there was one.

    *unanswered* is true after an attempt without an answer, or with one that does not say whether
    the records were kept. The records of a piece are in a batch of their own.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.error: KafkaError | None = None
        self.error_name = ""
        self.unanswered = False
        self.is_piece = False

    def wanted(self) -> bool:
        """Return whether an event still waits for one of the records."""
        return any(not future.done() for future, _ in self._msg_futures)

    def drain_ready(self) -> None:
        self.error = None
        super().drain_ready()


class _Batches(MessageAccumulator):  # type: ignore[misc]  # aiokafka has no types
    """The batches that wait to be sent."""

    def add(self, place: TopicPartition, record: Mapping[str, Any]) -> tuple[RecordBatch, Any]:
        """Add a record to the partition's last batch, or to a new one; return both."""
        self._check()
        waiting = self._batches.get(place)
        if waiting and (future := waiting[-1].append(**record)) is not None:
            return waiting[-1], future
        batch = RecordBatch(place, self.create_builder(), LONGEST_S, 0)
        future = batch.append(**record)
        self._wait_for_turn(batch)
        return batch, future

    def add_piece(
        self, place: TopicPartition, records: Sequence[Mapping[str, Any]]
    ) -> tuple[RecordBatch, Any]:
        """Add a batch of *records*, which nothing else joins; return it and the first one's future."""
        self._check()
        first, *others = records
        builder = BatchBuilder(INTEGER_MAX_VALUE, 0)  # its size has been decided
        batch = RecordBatch(place, builder, LONGEST_S, 0)
        batch.is_piece = True
        future = batch.append(**first)
        for record in others:
            builder.append(
                timestamp=record["timestamp_ms"],
                key=record["key"],
                value=record["value"],
                headers=record["headers"],
            )
        builder.close()
        self._wait_for_turn(batch)
        return batch, future

    def _check(self) -> None:
        if self._exception is not None:
            raise KafkaError("the sender has ended")

    def _wait_for_turn(self, batch: RecordBatch) -> None:
        self._batches[batch.tp].append(batch)
        if not self._waiter_future.done():
            self._waiter_future.set_result(None)

    def drain_by_nodes(self, *args: Any, **kwargs: Any) -> Any:
        """Return what is due; batches that no event waits for are dropped, never to be tried again."""
        for place, waiting in list(self._batches.items()):
            wanted = deque(batch for batch in waiting if batch.wanted())
            if wanted:
                self._batches[place] = wanted
            else:
                del self._batches[place]
        return super().drain_by_nodes(*args, **kwargs)


class _Handler(SendProduceReqHandler):  # type: ignore[misc]  # aiokafka has no types
    """One produce request; records in its batches how it ended."""

    def handle_response(self, response: Any) -> None:
        for topic, partitions in response.topics:
            for partition, code, *_ in partitions:
                batch = self._batches.get(TopicPartition(topic, partition))
                if batch is not None and code:
                    batch.error_name = _LATER_ERRORS.get(code) or for_code(code).message
        super().handle_response(response)

    def _can_retry(self, error: KafkaError, batch: RecordBatch) -> bool:
        """Return whether to try again: a retriable error, for as long as an event waits."""
        if isinstance(error, _UNCERTAIN):
            batch.unanswered = True
        elif not isinstance(error, NodeNotReadyError):
            batch.error = error
        return bool(error.retriable) and batch.wanted()


class _Sender(Sender):  # type: ignore[misc]  # aiokafka has no types
    """Sends the batches; its requests can be cancelled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sending: set[asyncio.Task[Any]] = set()

    async def _send_produce_req(
        self, node_id: Any, batches: Mapping[TopicPartition, RecordBatch]
    ) -> None:
        task: Any = asyncio.current_task()
        self.sending.add(task)
        try:
            await _Handler(self, batches).do(node_id)
        finally:
            self.sending.discard(task)
            self._in_flight.discard(node_id)
            self._muted_partitions.difference_update(batches)

    def _fail_all(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            _LOG.error("a Kafka producer has ended, its records' outcome is unknown", exc_info=exc)
            self._message_accumulator.fail_all(exc)


class Producer:
    """One producer id; a gap in its sequence numbers spends it, for the broker takes no further batch."""

    def __init__(self, client: Client) -> None:
        ids = TransactionManager(None, INTEGER_MAX_VALUE)
        self._batches = _Batches(client.cluster, _BATCH_BYTES, 0, LONGEST_S, txn_manager=ids)
        self._sender = _Sender(
            client,
            acks=-1,  # all in-sync replicas
            txn_manager=ids,
            message_accumulator=self._batches,
            retry_backoff_ms=int(BACKOFF_S * 1000),
            request_timeout_ms=int(ANSWER_S * 1000),
        )
        self.spent = False
        self.records = 0  # that somebody waits for

    async def start(self) -> None:
        """Fetch a producer id; raise one of `FAILURES`."""
        async with asyncio.timeout(2 * ANSWER_S):  # a silent connection is to be noticed before
            await self._sender.start()

    def usable(self) -> bool:
        """Return whether a further record may be numbered."""
        return not self.spent and not self._sender.sender_task.done()

    def hand_over(
        self, place: TopicPartition, records: Sequence[Mapping[str, Any]]
    ) -> tuple[RecordBatch, Any]:
        """Queue a record, or those of a piece; return the batch and the first `RecordMetadata`'s future."""
        if len(records) > 1:
            batch, future = self._batches.add_piece(place, records)
        else:
            batch, future = self._batches.add(place, records[0])
        batch.future.add_done_callback(self._note)
        return batch, future

    async def aclose(self) -> None:
        """Cancel everything at once: no event waits for an answer any more."""
        await end([*self._sender.sending, *filter(None, [self._sender.sender_task])])

    def _note(self, ended: asyncio.Future[Any]) -> None:
        if ended.cancelled() or ended.exception() is not None:
            self.spent = True
