"""A real Kafka, one node in KRaft mode, and a consumer that reads its topics back."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sonda.pipeline.model import RecordMetadata
from tests.support.ports import free_ports

from .certificates import Certificates, make_certificates
from .install import kafka_command, run
from .process import Process, started, with_free_ports

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# In CI each of these must have been proved at least once.
ROWS: Final = (
    "kafka plain",
    "kafka tls",
    "kafka tls client certificate",
    "kafka sasl plain",
    "kafka sasl plain over tls",
    "kafka scram-sha-256",
    "kafka scram-sha-256 over tls",
    "kafka scram-sha-512",
    "kafka scram-sha-512 over tls",
    "kafka topic auto-creation",
    "kafka refusals",
    "kafka killed and restarted",
)
LISTENERS: Final = {
    # name: protocol
    "plain": "PLAINTEXT",
    "tls": "SSL",
    "mutual_tls": "SSL",
    "sasl": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
    "controller": "PLAINTEXT",
}
USERNAME: Final = "sonda"
PASSWORD: Final = "pass wörd"
READY_TIMEOUT_S: Final = 60.0
READ_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """One record as a consumer sees it."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    time_ms: int
    partition: int
    offset: int


@dataclass(slots=True)
class Kafka:
    """A broker that listens on these `host:port`, by the names of `LISTENERS`."""

    addresses: dict[str, str]
    certificates: Certificates
    process: Process
    _restart: Callable[[], Process] = field(repr=False)

    def create_topic(self, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create a topic with a name of its own, and return that."""
        name = f"sonda-{uuid4().hex}"
        topic = NewTopic(
            name, num_partitions=partitions, replication_factor=1, config=dict(config or {})
        )
        admin = self._admin()  # without it the request is dropped
        for done in admin.create_topics([topic]).values():
            done.result(READY_TIMEOUT_S)
        return name

    def read(self, topic: str, *, count: int = 1, timeout_s: float = READ_TIMEOUT_S) -> list[Found]:
        """Return all that is in a topic; fails if that is fewer than *count* in the end."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.addresses["plain"],
                "group.id": uuid4().hex,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "broker.address.family": "v4",
            }
        )
        try:
            return _read(consumer, topic, count, timeout_s, self.process)
        finally:
            consumer.close()

    def delete(self, until: RecordMetadata | None) -> None:
        """Delete the records of a partition up to and with this one, as retention does."""
        assert until is not None
        after = TopicPartition(until.topic, until.partition, (until.offset or 0) + 1)
        admin = self._admin()  # without it the request is dropped
        for done in admin.delete_records([after]).values():
            done.result(READY_TIMEOUT_S)

    def kill(self) -> None:
        """End it without a warning."""
        self.process.stop(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: it is there, and does nothing."""
        self.process.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.popen.send_signal(signal.SIGCONT)

    def start(self) -> None:
        """Start it again, with what it had, and wait until it serves."""
        self.process = self._restart()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once it answers."""
        admin = self._admin()

        def ready() -> bool:
            try:
                return bool(admin.list_topics(timeout=1).brokers)
            except KafkaException:
                return False

        self.process.wait_until(ready, timeout_s=READY_TIMEOUT_S, what="it tells its topics")

    def _admin(self) -> Any:
        return AdminClient(
            {
                "bootstrap.servers": self.addresses["plain"],
                "broker.address.family": "v4",
                "log_level": 0,
                "reconnect.backoff.max.ms": 200,
            }
        )


def _read(consumer: Any, topic: str, count: int, timeout_s: float, process: Process) -> list[Found]:
    """Read every partition to its end, and on until there are *count* records."""
    unread = set(consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in unread])
    deadline = time.monotonic() + timeout_s
    found: list[Found] = []
    while unread or len(found) < count:
        if time.monotonic() > deadline:
            shortage = f"found {len(found)} of {count} within {timeout_s:g} s"
            raise AssertionError(f"{shortage}; the broker's log:\n{process.log_tail()}")
        message = consumer.poll(0.5)
        if message is None:
            continue
        if (error := message.error()) is None:
            found.append(_found(message))
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        else:
            raise AssertionError(error)
    return found


def _found(message: Any) -> Found:
    return Found(
        key=message.key(),
        value=message.value(),
        headers=message.headers() or [],
        time_ms=message.timestamp()[1],
        partition=message.partition(),
        offset=message.offset(),
    )


@contextmanager
def start_kafka(installed: Path, *, creates_topics: bool = False) -> Iterator[Kafka]:
    """Run a broker until the end of the `with` block."""
    with ExitStack() as stack:
        yield with_free_ports(
            lambda: stack.enter_context(_start(installed, creates_topics=creates_topics))
        )


@contextmanager
def _start(installed: Path, *, creates_topics: bool) -> Iterator[Kafka]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sonda-kafka-")))
        certificates = make_certificates(folder / "tls")
        ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        (folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        properties = folder / "server.properties"
        properties.write_text(
            _properties(folder, certificates, ports, creates_topics=creates_topics),
            encoding="utf-8",
        )
        _format(installed, properties)
        words, env = kafka_command(installed, "kafka.Kafka", str(properties))
        java, *arguments = words
        options = (f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",)

        def launch() -> Process:
            running: AbstractContextManager[Process] = started(
                (java, *options, *arguments), folder=folder, env=env
            )
            return stack.enter_context(running)

        addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        kafka = Kafka(addresses, certificates, launch(), launch)
        kafka.wait_until_ready()
        yield kafka


def _format(installed: Path, properties: Path) -> None:
    """Make the folder for the log, with the users of SCRAM."""
    users = (
        f"{mechanism}=[name={quoted(USERNAME)},password={quoted(PASSWORD)}]"
        for mechanism in MECHANISMS
        if mechanism.startswith("SCRAM")
    )
    adding = (word for user in users for word in ("--add-scram", user))
    arguments = ("format", "--config", str(properties), "--cluster-id", "c29uZGEtYmFja2VuZHMtMQ")
    words, env = kafka_command(installed, "kafka.tools.StorageTool", *arguments, *adding)
    run(*words, env=env, timeout_s=READY_TIMEOUT_S)


def quoted(text: str) -> str:
    """Put a text in double quotes, which the tool's parser wants around what is not a word."""
    return f'"{text}"'


def _keystore(folder: Path, certificates: Certificates) -> Path:
    """Write key and certificates into one file, the key in the one form that Java reads."""
    key = load_pem_private_key(certificates.server_key.read_bytes(), password=None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    store = folder / "keystore.pem"
    store.write_bytes(pem + certificates.server_cert.read_bytes())
    return store


def _properties(
    folder: Path, certificates: Certificates, ports: dict[str, int], *, creates_topics: bool
) -> str:
    urls = {name: f"{name.upper()}://127.0.0.1:{port}" for name, port in ports.items()}
    advertised = [url for name, url in urls.items() if name != "controller"]
    protocols = ",".join(f"{name.upper()}:{protocol}" for name, protocol in LISTENERS.items())
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    logins = "\n".join(
        f"""
listener.name.{listener}.sasl.enabled.mechanisms={",".join(MECHANISMS)}
listener.name.{listener}.plain.sasl.jaas.config={plain} "user_{USERNAME}"={json.dumps(PASSWORD)};
listener.name.{listener}.scram-sha-256.sasl.jaas.config={scram}
listener.name.{listener}.scram-sha-512.sasl.jaas.config={scram}
"""
        for listener in ("sasl", "sasl_tls")
    )
    return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{ports["controller"]}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={",".join(urls.values())}
advertised.listeners={",".join(advertised)}
listener.security.protocol.map={protocols}
log.dirs={folder / "log"}
auto.create.topics.enable={str(creates_topics).lower()}
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
controlled.shutdown.enable=false
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
ssl.keystore.type=PEM
ssl.keystore.location={_keystore(folder, certificates)}
ssl.truststore.type=PEM
ssl.truststore.location={certificates.ca_cert}
listener.name.mutual_tls.ssl.client.auth=required
{logins}
"""


LOGGING: Final = """
appenders=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c: %m%n
rootLogger.level=INFO
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
"""
