"""Events in a real Kafka: each record is read back as it was confirmed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any, Final
from uuid import uuid4

import pytest
from returns.result import Failure, Success

import sonda
from sonda.pipeline.model import RecordMetadata
from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable
from tests.support.bodies import LOG, METRIC, changed
from tests.support.destinations import NewLoop, both_loops
from tests.support.serving import Serving

from .kafka import PASSWORD, USERNAME, Found, Kafka
from .ledger import Ledger
from .sending import emit_all, post

WAYS: Final = (
    "plain",
    "tls",
    "tls client certificate",
    "sasl plain",
    "sasl plain over tls",
    "scram-sha-256",
    "scram-sha-256 over tls",
    "scram-sha-512",
    "scram-sha-512 over tls",
)
TIME: Final = "2026-03-23T15:29:02.483999999Z"
TIME_MS: Final = 1_774_279_742_483


def sink(kafka: Kafka, way: str, topic: str, **options: Any) -> dict[str, Any]:
    """Return the sink that sends this way."""
    certificates = kafka.certificates
    ca = {"ca_cert": str(certificates.ca_cert)}
    mine = {
        "client_cert": str(certificates.client_cert),
        "client_key": str(certificates.client_key),
    }
    base = {"type": "kafka", "topic": topic, **options}
    mechanism, _, over_tls = way.partition(" over ")
    mechanism = mechanism.removeprefix("sasl ").upper()
    login = {"mechanism": mechanism, "username": USERNAME, "password": PASSWORD}
    match way:
        case "plain":
            return {"brokers": kafka.addresses["plain"], **base}
        case "tls":
            return {"brokers": kafka.addresses["tls"], "tls": ca, **base}
        case "tls client certificate":
            return {"brokers": kafka.addresses["mutual_tls"], "tls": ca | mine, **base}
        case _ if over_tls:
            return {"brokers": kafka.addresses["sasl_tls"], "sasl": login, "tls": ca, **base}
        case _:
            return {"brokers": kafka.addresses["sasl"], "sasl": login, **base}


def event(kafka: Kafka, topic: str, way: str = "plain", **changes: Any) -> dict[str, Any]:
    """Write the body of a log event that goes there this way."""
    options = changes.pop("options", {})
    return changed(changed(LOG, sink=sink(kafka, way, topic, **options)), **changes)


def at(topic: str, found: Found) -> RecordMetadata:
    return RecordMetadata(topic, found.partition, found.offset)


@both_loops
@pytest.mark.parametrize("way", WAYS)
def test_a_record_comes_out_as_it_went_in(
    kafka: Kafka, landed: Ledger, way: str, loop: NewLoop
) -> None:
    """Key, headers, value and time are the event's, and it is where the receipt says."""
    topic = kafka.create_topic(partitions=3)
    options = {"key": "schlüssel", "headers": {"source": "ci", "ü\n": "ä\x00", "empty": ""}}
    body = event(kafka, topic, way, timestamp=TIME, options=options)
    with asyncio.Runner(loop_factory=loop) as runner:
        receipt = runner.run(sonda.emit_async(body)).unwrap()
    (found,) = kafka.read(topic)
    landed.record(f"kafka {way}", sent=1, found=1)
    assert found == Found(
        key="schlüssel".encode(),
        value=sonda.encode(body).unwrap(),
        headers=[("source", b"ci"), ("ü\n", "ä\x00".encode()), ("empty", b"")],
        time_ms=TIME_MS,
        partition=found.partition,
        offset=0,
    )
    assert (receipt.confirmed, receipt.place) == (sonda.Confirmed.ACCEPTED, at(topic, found))


@pytest.mark.parametrize("way", WAYS)
def test_many_at_once_are_all_there(kafka: Kafka, landed: Ledger, way: str) -> None:
    """Each of many events is one record, where its own receipt says."""
    topic = kafka.create_topic(partitions=4)
    texts = [f"number {n} " + "x" * (n * 37 % 9000) for n in range(300)]
    receipts = emit_all(event(kafka, topic, way, log__message=text) for text in texts)
    found = {at(topic, each): json.loads(each.value)["message"] for each in kafka.read(topic)}
    landed.record(f"kafka {way}", sent=len(texts), found=len(found))
    places = [receipt.place for receipt in receipts]
    assert [found[place] for place in places if place] == texts
    assert len(found) == len(texts)
    assert {each.partition for each in found} == {0, 1, 2, 3}


@pytest.mark.parametrize("encoder", ["json_lines", "prometheus_text", "influx_lp", "syslog"])
def test_every_text_encoder(kafka: Kafka, landed: Ledger, encoder: str) -> None:
    """A record's value is the encoder's bytes, its last line feed included."""
    topic = kafka.create_topic()
    body = changed(
        LOG if encoder == "syslog" else METRIC,
        sink=sink(kafka, "plain", topic),
        encoder={"type": encoder},
        timestamp=TIME,
    )
    assert isinstance(sonda.emit(body), Success)
    (found,) = kafka.read(topic)
    landed.record("kafka plain", sent=1, found=1)
    assert (found.value, found.key, found.headers) == (sonda.encode(body).unwrap(), None, [])


KEYS: Final = (
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "deploys",
    "schlüssel",
    "€😀",
    "x" * 1000,
    "y" * 30_001,
)
REFERENCE: Final = """
import json, sys
from confluent_kafka import Producer
brokers, topic, keys = json.loads(sys.argv[1])
producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "acks": "all"})
for key in keys:
    producer.produce(topic, key=key.encode(), value=b"reference")
sys.exit(producer.flush(30))
"""


def test_a_key_decides_the_partition_as_for_every_other_producer(
    kafka: Kafka, landed: Ledger
) -> None:
    """librdkafka, told to do what Java's producer does, puts the same keys beside ours."""
    topic = kafka.create_topic(partitions=7)
    emit_all(event(kafka, topic, options={"key": key}) for key in KEYS)
    arguments = json.dumps([kafka.addresses["plain"], topic, KEYS])
    subprocess.run([sys.executable, "-c", REFERENCE, arguments], check=True, timeout=60)
    found = kafka.read(topic, count=2 * len(KEYS))
    landed.record("kafka plain", sent=len(KEYS), found=len(found) - len(KEYS))
    theirs = {each.key: each.partition for each in found if each.value == b"reference"}
    ours = {each.key: each.partition for each in found if each.value != b"reference"}
    assert ours == theirs
    assert len(ours) == len(KEYS)
    assert len(set(ours.values())) > 2


def test_one_pipeline_for_each_thread(kafka: Kafka, landed: Ledger) -> None:
    """Events from scripts, each with an event loop of its own, do not mix connections up."""
    topic = kafka.create_topic()
    for n in range(3):
        assert isinstance(sonda.emit(event(kafka, topic, log__message=str(n))), Success)
    found = kafka.read(topic, count=3)
    landed.record("kafka plain", sent=3, found=len(found))
    assert [json.loads(each.value)["message"] for each in found] == ["0", "1", "2"]


# --- what Kafka refuses --------------------------------------------------------------------------


def nothing_in(kafka: Kafka, landed: Ledger, topic: str) -> None:
    """Hold that a topic is empty."""
    found = kafka.read(topic, count=0)
    landed.record("kafka refusals", sent=1, found=len(found))
    assert found == []


def test_an_unknown_topic_is_never_sent(kafka: Kafka, landed: Ledger) -> None:
    """A broker that creates no topics keeps the event waiting until its time is over."""
    topic = f"sonda-{uuid4().hex}"
    problem = sonda.emit(event(kafka, topic, options={"timeout": "3s"})).failure()
    assert problem == Unreachable(f"find Kafka topic {topic}", "UNKNOWN_TOPIC_OR_PARTITION")
    landed.record("kafka refusals", sent=1, found=0)


def test_a_topic_is_created_where_the_broker_does_that(
    kafka_restarted: Kafka, landed: Ledger
) -> None:
    """The event waits for its topic's creation."""
    topic = f"sonda-{uuid4().hex}"
    receipt = sonda.emit(event(kafka_restarted, topic)).unwrap()
    (found,) = kafka_restarted.read(topic)
    landed.record("kafka topic auto-creation", sent=1, found=1)
    assert receipt.place == at(topic, found)


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith(("sasl", "scram"))])
def test_a_wrong_password_is_a_502_that_does_not_show_it(
    kafka: Kafka, landed: Ledger, way: str
) -> None:
    """The broker's no to the login comes before the record, and is quoted."""
    topic, secret = kafka.create_topic(), uuid4().hex
    options = sink(kafka, way, topic)
    options["sasl"]["password"] = secret
    problem = sonda.emit(changed(LOG, sink=options)).failure()
    assert isinstance(problem, Unreachable)
    assert problem.attempt == f"Kafka connect to {options['brokers']}"
    assert problem.reason.startswith("SASL_AUTHENTICATION_FAILED: Authentication failed")
    assert secret not in repr(problem)
    nothing_in(kafka, landed, topic)


@pytest.mark.parametrize("certificate", ["none", "stranger"])
def test_without_the_certificate_it_wants_it_is_a_502(
    kafka: Kafka, landed: Ledger, certificate: str
) -> None:
    """A client that the broker does not know sends nothing."""
    topic, certificates = kafka.create_topic(), kafka.certificates
    options = sink(kafka, "tls client certificate", topic)
    options["tls"] = {"ca_cert": str(certificates.ca_cert)}
    if certificate == "stranger":
        options["tls"] |= {
            "client_cert": str(certificates.stranger_cert),
            "client_key": str(certificates.stranger_key),
        }
    problem = sonda.emit(changed(LOG, sink=options)).failure()
    assert isinstance(problem, Unreachable)
    assert problem.attempt == f"Kafka connect to {kafka.addresses['mutual_tls']}"
    nothing_in(kafka, landed, topic)


@pytest.mark.parametrize(
    ("way", "options", "words"),
    [
        ("tls", {"tls": {}}, "certificate verification failed: unable to get local issuer certificate"),
        ("tls", {"tls": {"enabled": False}}, "the answer is no Kafka broker's"),
        ("scram-sha-256", {"sasl": None}, "the broker closed the connection"),
    ],
)  # fmt: skip
def test_the_wrong_way_to_a_listener_is_a_502(
    kafka: Kafka, landed: Ledger, way: str, options: dict[str, Any], words: str
) -> None:
    """Its words say what was wrong."""
    topic = kafka.create_topic()
    wrong = {**sink(kafka, way, topic), **options}
    wrong = {name: value for name, value in wrong.items() if value is not None}
    where = f"Kafka connect to {wrong['brokers']}"
    assert sonda.emit(changed(LOG, sink=wrong)) == Failure(Unreachable(where, words))
    nothing_in(kafka, landed, topic)


def test_a_server_name_is_what_is_verified(kafka: Kafka, landed: Ledger) -> None:
    """The certificate's other name will do, a foreign one will not."""
    topic = kafka.create_topic()
    options = sink(kafka, "tls", topic)
    options["tls"]["server_name"] = "localhost"
    assert isinstance(sonda.emit(changed(LOG, sink=options)), Success)
    options["tls"]["server_name"] = "elsewhere.test"
    problem = sonda.emit(changed(LOG, sink=options)).failure()
    assert "not valid for 'elsewhere.test'" in str(problem)
    found = kafka.read(topic)
    landed.record("kafka tls", sent=1, found=len(found))
    assert len(found) == 1


FUTURE: Final = "2200-01-01T00:00:00Z"


def test_a_refused_event_does_not_fail_its_neighbours(kafka: Kafka, landed: Ledger) -> None:
    """Kafka refuses whole batches; each event is answered as if it had been alone."""
    topic = kafka.create_topic()
    changes = [{"timestamp": FUTURE} if n % 10 == 3 else {} for n in range(100)]
    bodies = [
        event(kafka, topic, log__message=str(n), **change) for n, change in enumerate(changes)
    ]

    async def send() -> list[Any]:
        async with sonda.Pipeline() as pipeline:
            return await asyncio.gather(*map(pipeline.emit, bodies))

    results = asyncio.run(send())
    refused = Failure(Refused(kafka.addresses["plain"], "INVALID_TIMESTAMP"))
    assert [n for n, result in enumerate(results) if result == refused] == list(range(3, 100, 10))
    accepted = {n for n, result in enumerate(results) if isinstance(result, Success)}
    assert len(accepted) == 90
    found = [int(json.loads(each.value)["message"]) for each in kafka.read(topic)]
    landed.record("kafka plain", sent=90, found=len(found))
    landed.record("kafka refusals", sent=10, found=0)
    assert Counter(found) == Counter(accepted)


def test_what_is_too_large_is_a_502_and_the_next_event_is_delivered(
    kafka: Kafka, landed: Ledger
) -> None:
    """A topic that takes less than a batch takes each event that is small enough."""
    topic = kafka.create_topic(config={"max.message.bytes": "1000"})
    texts = ["x" * 5000, *(str(n) for n in range(50)), "y" * 900]

    async def send() -> list[Any]:
        async with sonda.Pipeline() as pipeline:
            bodies = [event(kafka, topic, log__message=text) for text in texts]
            at_once = await asyncio.gather(*map(pipeline.emit, bodies))
            return [*at_once, await pipeline.emit(event(kafka, topic, log__message="last"))]

    large, *small, larger, last = asyncio.run(send())
    refused = Failure(Refused(kafka.addresses["plain"], "MESSAGE_SIZE_TOO_LARGE"))
    assert (large, larger) == (refused, refused)
    assert all(isinstance(result, Success) for result in [*small, last])
    found = [json.loads(each.value)["message"] for each in kafka.read(topic)]
    landed.record("kafka plain", sent=51, found=len(found))
    assert sorted(found) == sorted([*texts[1:-1], "last"])


# --- a broker that goes away ---------------------------------------------------------------------


def test_killed_between_events(kafka_restarted: Kafka, landed: Ledger) -> None:
    """Away it is a 502; back again the same pipeline delivers; no 502 is found, every 200 is."""
    topic = kafka_restarted.create_topic(partitions=3)
    address = kafka_restarted.addresses["plain"]

    async def send(text: str, pipeline: sonda.Pipeline) -> Any:
        return await pipeline.emit(event(kafka_restarted, topic, log__message=text))

    async def story() -> list[Any]:
        async with sonda.Pipeline() as pipeline:
            before = await send("before", pipeline)
            await asyncio.to_thread(kafka_restarted.kill)
            away = await send("away", pipeline)
            await asyncio.to_thread(kafka_restarted.start)
            return [before, away, await send("after", pipeline)]

    before, away, after = asyncio.run(story())
    assert isinstance(before, Success)
    assert away == Failure(Unreachable(f"Kafka connect to {address}", "Connection refused"))
    assert isinstance(after, Success)
    found = sorted(json.loads(each.value)["message"] for each in kafka_restarted.read(topic))
    landed.record("kafka killed and restarted", sent=2, found=len(found))
    assert found == ["after", "before"]


def test_killed_under_load(kafka_restarted: Kafka, landed: Ledger) -> None:
    """Whenever the broker dies: every yes is found, no 502 is, and nothing is there twice."""
    topic = kafka_restarted.create_topic(partitions=3)
    results: dict[str, Any] = {}

    async def stream(name: str, pipeline: sonda.Pipeline, over: asyncio.Event) -> None:
        number = 0
        while not over.is_set():
            text = f"{name}-{number}"
            body = event(kafka_restarted, topic, log__message=text, options={"timeout": "2s"})
            results[text] = await pipeline.emit(body)
            number += 1
            await asyncio.sleep(0.005)

    async def story() -> Any:
        over = asyncio.Event()
        async with sonda.Pipeline() as pipeline:
            streams = [asyncio.create_task(stream(str(n), pipeline, over)) for n in range(10)]
            for _ in range(2):
                await asyncio.sleep(1)
                await asyncio.to_thread(kafka_restarted.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(kafka_restarted.start)
            await asyncio.sleep(1)
            over.set()
            await asyncio.gather(*streams)
            return await pipeline.emit(event(kafka_restarted, topic, log__message="last"))

    results["last"] = asyncio.run(story())
    accepted = {text for text, result in results.items() if isinstance(result, Success)}
    problems = {text: result.failure() for text, result in results.items() if text not in accepted}
    unknown = {text for text, problem in problems.items() if isinstance(problem, OutcomeUnknown)}
    texts = Counter(json.loads(each.value)["message"] for each in kafka_restarted.read(topic))
    landed.record(
        "kafka killed and restarted", sent=len(accepted), found=len(accepted & texts.keys())
    )
    assert accepted <= texts.keys()
    assert texts.keys() <= accepted | unknown
    assert set(texts.values()) == {1}
    assert "last" in accepted
    assert len(accepted) < len(results)


def test_a_broker_that_hangs_is_unknown_and_then_unreachable(
    kafka_restarted: Kafka, landed: Ledger
) -> None:
    """What had been handed over may arrive; what comes later is never sent."""
    topic = kafka_restarted.create_topic()
    address = kafka_restarted.addresses["plain"]

    async def story() -> list[Any]:
        async with sonda.Pipeline() as pipeline:

            async def send(text: str, within: str) -> Any:
                options = {"timeout": within}
                body = event(
                    kafka_restarted, topic, log__message=text, timestamp=TIME, options=options
                )
                return await pipeline.emit(body)

            before = await send("before", "10s")
            kafka_restarted.pause()
            try:
                hung = await send("hung", "500ms")
                later = await send("later", "500ms")
            finally:
                kafka_restarted.resume()
            return [before, hung, later, await send("after", "10s")]

    before, hung, later, after = asyncio.run(story())
    assert isinstance(before, Success)
    time_ns = before.unwrap().time_ns
    assert hung == Failure(OutcomeUnknown(address, "within 0.5s", time_ns))
    assert later == Failure(Unreachable("get a Kafka producer id", "timed out after 0.5s"))
    assert isinstance(after, Success)
    time.sleep(0.2)  # what was handed over may still arrive
    found = {json.loads(each.value)["message"] for each in kafka_restarted.read(topic)}
    landed.record("kafka killed and restarted", sent=2, found=len(found - {"hung"}))
    assert found - {"hung"} == {"before", "after"}


def test_preflight_warns_of_each_loopback_broker_and_of_a_password_in_clear(
    kafka: Kafka, server: Serving, landed: Ledger
) -> None:
    """A 200 says what the user should know."""
    topic = kafka.create_topic()
    options = sink(kafka, "scram-sha-512", topic)
    address = options["brokers"]
    options["brokers"] = f"{address}, nowhere.invalid:9092,localhost:{address.partition(':')[2]}"
    status, answer = post(server.url, changed(LOG, sink=options))
    assert (status, answer["sent"]) == (200, True)
    first, second, third = answer["warnings"]
    assert f"sink `kafka` targets `{address}` — this host" in first
    assert "sink `kafka` targets `localhost:" in second
    assert third == "SASL without TLS sends the password in clear: add `tls` to the sink"
    (found,) = kafka.read(topic)
    landed.record("kafka scram-sha-512", sent=1, found=1)
    assert json.loads(found.value)["message"] == LOG["log"]["message"]
