"""The `kafka` sink where a real broker cannot be made to misbehave."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.partitioner import murmur2
from returns.result import Failure, Success

import sonda
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt, RecordMetadata
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Refused, Unreachable
from sonda.pipeline.sinks import kafka as kafka_sink
from sonda.pipeline.sinks.kafka import client as kafka_client
from sonda.pipeline.sinks.kafka import cluster as kafka
from sonda.pipeline.sinks.kafka.cluster import ClusterKey
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.values.addresses import Address
from tests.support.destinations import (
    TIME_NS,
    NewLoop,
    both_loops,
    deliver,
    json_line,
    log_event,
    outcome,
    run,
)
from tests.support.faulty import Peer, faulty
from tests.support.kafka_broker import (
    CLUSTER_UNAUTHORIZED,
    HANG,
    HANG_UP,
    INVALID_EPOCH,
    INVALID_RECORD,
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_AFTER_APPEND,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    OUT_OF_ORDER,
    STALL,
    TOPIC_UNAUTHORIZED,
    TOPIC_UNKNOWN,
    UNKNOWN_PRODUCER_ID,
    Produced,
    kafka_broker,
)

TOPIC: Final = "events"
SECRET: Final = "hunter2-is-secret"
LOGIN: Final = {"mechanism": "PLAIN", "username": "u", "password": SECRET}


def to(brokers: str, **options: Any) -> dict[str, Any]:
    """Address the `kafka` sink."""
    return {"type": "kafka", "brokers": brokers, "topic": TOPIC, **options}


def kept(offset: int, tries: int = 1) -> Success[Receipt]:
    place = RecordMetadata(TOPIC, 0, offset)
    return Success(Receipt("logs", Confirmed.ACCEPTED, TIME_NS, tries, 0, place=place))


def emit_at_once(*events: Mapping[str, Any]) -> list[Any]:
    async def at_once(pipeline: Pipeline) -> list[Any]:
        return await asyncio.gather(*(outcome(pipeline, event) for event in events))

    return run(at_once)


# --- before a record is handed over --------------------------------------------------------------


@both_loops
def test_a_broker_that_is_away(loop: NewLoop) -> None:
    """The operating system's words for each of the brokers, in the order of their names."""
    sink = to("127.0.0.1:2,127.0.0.1:1")
    problem = Unreachable(
        "Kafka connect to 127.0.0.1:1", "Connection refused; 127.0.0.1:2: Connection refused"
    )
    assert deliver(log_event(sink), loop=loop) == [Failure(problem)]


@both_loops
@pytest.mark.parametrize("options", [{}, {"tls": {}}], ids=["plain", "tls"])
def test_a_broker_that_says_nothing(loop: NewLoop, options: dict[str, Any]) -> None:
    """A port that accepts and hangs is a 502 when time is over: nothing has left."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = deliver(log_event(to(address, timeout="200ms", **options)), loop=loop)
    assert result == [Failure(Unreachable(f"Kafka connect to {address}", "timed out after 0.2s"))]


@both_loops
@pytest.mark.parametrize(
    "talk",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x50",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x04\x00\x00\x00\x01",  # the right number, and nothing after it
        b"\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x7f\xff\xff\xff",
        b"\x00\x00\x00\x04\x7f\x00\x00\x01",  # an answer to something else
    ],
    ids=["http", "tls", "negative", "empty", "short", "huge", "other"],
)
def test_a_peer_that_speaks_no_kafka(
    loop: NewLoop, talk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it says is a 502, and nothing of it is logged."""

    def speak(peer: Peer) -> None:
        peer.read()
        peer.sock.sendall(talk)
        peer.read_all()

    with faulty(speak) as server:
        (result,) = deliver(log_event(to(server.address, timeout="1s")), loop=loop)
    problem = result.failure()
    assert isinstance(problem, Unreachable)
    assert problem.attempt == f"Kafka connect to {server.address}"
    assert caplog.records == []


def test_metadata_without_measure() -> None:
    """A broker that answers with megabytes is not listened to: reading them would keep everybody."""
    with kafka_broker(partitions=25_000) as broker:
        event = log_event(to(broker.address, timeout="60s"))  # to write them takes its time
        [refused] = deliver(event)
        problem = refused.failure()
        assert isinstance(problem, Unreachable)
        assert re.fullmatch(
            r"an answer of \d{6} bytes is over the 524288 that are read", problem.reason
        )


def test_large_metadata_is_decoded_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long to decode is decoded in a thread, and is the same."""
    decoded: list[Any] = []

    async def in_thread(work: Callable[[], Any]) -> Any:
        decoded.append(await asyncio.to_thread(work))
        return decoded[-1]

    monkeypatch.setattr(kafka_client, "in_thread", in_thread)
    with kafka_broker(partitions=1000) as broker:
        assert isinstance(deliver(log_event(to(broker.address)))[0], Success)
    [(_, _, _, partitions)] = decoded[0].topics
    assert len(partitions) == 1000


@both_loops
def test_a_server_name_that_nobody_can_ask_for(
    loop: NewLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """A name with too long a part is a 502 that says so, and nothing more is logged."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = deliver(log_event(to(address, tls={"server_name": "a" * 64})), loop=loop)
    why = "TLS: the server's name has a part of more than 63 characters"
    assert result == [Failure(Unreachable(f"Kafka connect to {address}", why))]
    assert caplog.records == []


def test_the_brokers_that_work_are_enough() -> None:
    """A broker that hangs does not use up the time of the others."""
    with socket.create_server(("127.0.0.1", 0)) as silent, kafka_broker() as broker:
        hanging = f"127.0.0.1:{silent.getsockname()[1]}"
        brokers = f"{hanging},127.0.0.1:1,{broker.address}"
        assert deliver(log_event(to(brokers, timeout="5s"))) == [kept(0)]


def test_an_ipv6_broker() -> None:
    """Its address is written in brackets, and told without them by the cluster."""
    try:
        with kafka_broker(host="::1") as broker:
            assert deliver(log_event(to(broker.address))) == [kept(0)]
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_a_leader_that_cannot_be_reached_is_named() -> None:
    """A cluster that tells addresses which only it can reach is the usual mistake."""
    with kafka_broker(leader=("127.0.0.1", 1)) as broker:
        (result,) = deliver(log_event(to(broker.address, timeout="5s")))
    assert result == Failure(Unreachable("Kafka connect to 127.0.0.1:1", "Connection refused"))
    assert broker.produced.items == []


def test_every_connection_goes_through_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brokers that the client names, and those that the cluster tells."""
    opened: list[Address] = []
    true_open = kafka_client.Client.open

    async def note(self: kafka_client.Client, address: Address) -> Any:
        opened.append(address)
        return await true_open(self, address)

    monkeypatch.setattr(kafka_client.Client, "open", note)
    with kafka_broker() as leader, kafka_broker(leader=("127.0.0.1", leader.port)) as broker:
        assert deliver(log_event(to(broker.address))) == [kept(0)]
    assert opened == [Address("127.0.0.1", broker.port), Address("127.0.0.1", leader.port)]
    assert len(broker.connections.items) == len(leader.connections.items) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"topic_error": TOPIC_UNAUTHORIZED},
            Unreachable("find Kafka topic events", "TOPIC_AUTHORIZATION_FAILED"),
        ),
        (
            {"id_error": CLUSTER_UNAUTHORIZED},
            Unreachable("get a Kafka producer id", "CLUSTER_AUTHORIZATION_FAILED"),
        ),
    ],
)
def test_what_waiting_does_not_help(options: dict[str, Any], problem: Unreachable) -> None:
    """Is a 502 at once, though there would be time."""
    with kafka_broker(**options) as broker:
        assert deliver(log_event(to(broker.address, timeout="1h"))) == [Failure(problem)]
    assert broker.produced.items == []


def test_a_broker_of_another_time() -> None:
    """One that shares no version of a request is no broker for us, which shows before a record."""
    with kafka_broker(versions={18: 0, 3: 1, 22: 0, 0: 99}) as broker:
        (result,) = deliver(log_event(to(broker.address)))
    reason = "no common version of Kafka's ProduceRequest"
    assert result == Failure(Unreachable(f"Kafka connect to {broker.address}", reason))


def test_a_record_that_no_broker_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is far too large a broker says nothing: not even a connection is made for it."""
    assert kafka_sink._LARGEST_BYTES == 100 * 2**20
    monkeypatch.setattr(kafka_sink, "_LARGEST_BYTES", 50)
    (result,) = deliver(log_event(to("127.0.0.1:1", key="ü", headers={"ü": "x"})))
    size = len(json_line()) + 5
    reason = f"a record of {size} bytes is over 50, the most that a broker reads"
    assert result == Failure(Unreachable("Kafka send to 127.0.0.1:1", reason))


# --- after it was handed over --------------------------------------------------------------------


@both_loops
def test_a_record_is_acknowledged(loop: NewLoop) -> None:
    """One connection and one producer id for all events of a pipeline, numbered in order."""
    with kafka_broker() as broker:
        events = [log_event(to(broker.address), str(n)) for n in range(3)]
        assert deliver(*events, loop=loop) == [kept(0), kept(1), kept(2)]
    assert broker.produced.items == [Produced(1000, n, (json_line(str(n)),)) for n in range(3)]
    assert len(broker.connections.items) == 1


@both_loops
def test_no_answer_is_unknown_and_is_not_sent_again_later(loop: NewLoop) -> None:
    """Nobody waits for the record any more; the next event has a producer id of its own."""
    with kafka_broker(HANG) as broker:

        async def story(pipeline: Pipeline) -> list[Any]:
            hung = await outcome(pipeline, log_event(to(broker.address, timeout="2s"), "hung"))
            broker.hang_up()
            return [hung, await outcome(pipeline, log_event(to(broker.address), "next"))]

        hung, following = run(story, loop=loop)
    assert hung == Failure(OutcomeUnknown(broker.address, "within 2s", TIME_NS))
    assert following == kept(0)
    assert broker.values() == [json_line("hung"), json_line("next")]
    first, second = broker.produced.items
    assert second.producer_id != first.producer_id


def test_a_connection_that_has_gone_silent_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks alive for ever: only the answers do not come."""
    monkeypatch.setattr(kafka_client, "ANSWER_S", 3.0)  # longer than the first event waits
    with kafka_broker(STALL) as broker:
        short, long = (log_event(to(broker.address, timeout=span)) for span in ("2s", "60s"))
        unknown = Failure(OutcomeUnknown(broker.address, "within 2s", TIME_NS))
        assert deliver(short, long) == [unknown, kept(0)]
    assert len(broker.connections.items) == 2


@both_loops
def test_a_broken_connection_is_tried_again_with_the_same_number(loop: NewLoop) -> None:
    """The broker would know a batch that it has, so that there is no second one."""
    with kafka_broker(HANG_UP, HANG_UP) as broker:
        assert deliver(log_event(to(broker.address)), loop=loop) == [kept(0, tries=3)]
    assert broker.produced.items == [Produced(1000, 0, (json_line(),))] * 3


def test_a_broken_connection_and_then_a_no_is_unknown() -> None:
    """The no may be to the second try alone."""
    with kafka_broker(HANG_UP, OUT_OF_ORDER) as broker:
        (result,) = deliver(log_event(to(broker.address)))
    why = "(after OUT_OF_ORDER_SEQUENCE_NUMBER)"
    assert result == Failure(OutcomeUnknown(broker.address, why, TIME_NS))
    assert len(broker.produced.items) == 2


@pytest.mark.parametrize(
    ("code", "name"),
    [(MESSAGE_TOO_LARGE, "MESSAGE_SIZE_TOO_LARGE"), (INVALID_RECORD, "INVALID_RECORD"), (-1, "UNKNOWN")],
)  # fmt: skip
def test_a_refusal_is_the_brokers_word(code: int, name: str) -> None:
    """It is final for a record that was alone, and spends the producer id: its numbers have a gap."""
    with kafka_broker(code) as broker:
        events = [log_event(to(broker.address), text) for text in ("no", "yes")]
        assert deliver(*events) == [Failure(Refused(broker.address, name)), kept(0)]
    first, second = broker.produced.items
    assert (first.sequence, second.sequence) == (0, 0)
    assert first.producer_id != second.producer_id


@pytest.mark.parametrize("code", [OUT_OF_ORDER, UNKNOWN_PRODUCER_ID, INVALID_EPOCH])
def test_a_poisoned_producer_is_replaced(code: int) -> None:
    """A number that does not fit is no fault of the event's: it goes again, alone, under a new id."""
    with kafka_broker(0, code) as broker:
        events = [log_event(to(broker.address), str(n)) for n in range(3)]
        assert deliver(*events) == [kept(0), kept(1), kept(2)]
    assert [(each.sequence, each.values) for each in broker.produced.items] == [
        (0, (json_line("0"),)),
        (1, (json_line("1"),)),
        (0, (json_line("1"),)),
        (0, (json_line("2"),)),
    ]
    assert len({each.producer_id for each in broker.produced.items}) == 3


def test_a_refused_batch_is_judged_event_by_event() -> None:
    """Whatever travels together, each event's answer is its own."""

    def judge(batch: Produced) -> int:
        return INVALID_RECORD if json_line("bad") in batch.values else 0

    with kafka_broker(script=judge) as broker:
        texts = [f"good {n}" for n in range(20)] + ["bad"] * 3
        results = emit_at_once(*(log_event(to(broker.address), text) for text in texts))
    refused = Failure(Refused(broker.address, "INVALID_RECORD"))
    assert results[20:] == [refused] * 3
    assert all(isinstance(result, Success) for result in results[:20])
    assert max(len(batch.values) for batch in broker.produced.items) > 1
    taken = [batch.values for batch in broker.produced.items if not judge(batch)]
    assert sorted(value for values in taken for value in values) == sorted(
        json_line(text) for text in texts[:20]
    )


def test_a_second_try_that_cannot_be_finished_is_unknown() -> None:
    """What travelled together was refused, and alone it was never judged."""

    def judge(batch: Produced) -> int | str:
        return INVALID_RECORD if len(batch.values) > 1 else HANG

    with kafka_broker(script=judge) as broker:

        async def story(pipeline: Pipeline) -> list[Any]:
            event = log_event(to(broker.address, timeout="2s"))
            return await asyncio.gather(*(outcome(pipeline, event) for _ in range(2)))

        results = run(story)
    assert results == [Failure(OutcomeUnknown(broker.address, "within 2s", TIME_NS))] * 2


@pytest.mark.parametrize("code", [NOT_LEADER, NOT_ENOUGH_REPLICAS])
def test_what_may_pass_is_tried_until_it_has(code: int) -> None:
    """Within the deadline; the same record under the same number."""
    with kafka_broker(code, code) as broker:
        assert deliver(log_event(to(broker.address))) == [kept(0, tries=3)]
    assert len(set(broker.produced.items)) == 1


def test_what_does_not_pass_is_refused_in_the_end() -> None:
    """Each try was answered with a no, and there will be no further one."""
    with kafka_broker(script=lambda _: NOT_ENOUGH_REPLICAS) as broker:

        async def story(pipeline: Pipeline) -> tuple[Any, int, int]:
            result = await outcome(pipeline, log_event(to(broker.address, timeout="2s")))
            before = len(broker.produced.items)
            await asyncio.sleep(0.5)
            return result, before, len(broker.produced.items)

        result, before, later = run(story)
    assert result == Failure(Refused(broker.address, "NOT_ENOUGH_REPLICAS"))
    assert before == later


def test_a_record_that_the_leader_has_kept_alone_is_unknown() -> None:
    """It is there, and may be lost with its leader."""
    with kafka_broker(script=lambda _: NOT_ENOUGH_AFTER_APPEND) as broker:
        (result,) = deliver(log_event(to(broker.address, timeout="2s")))
    assert isinstance(result.failure(), OutcomeUnknown)


def test_a_dead_sender_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug behind the producer leaves its record unknown, is logged, and ends with it."""
    true_do = kafka_client._Handler.do
    broken = iter([True])

    async def do(self: Any, node_id: int) -> None:
        if next(broken, False):
            raise ZeroDivisionError
        await true_do(self, node_id)

    monkeypatch.setattr(kafka_client._Handler, "do", do)
    with kafka_broker() as broker:
        first, second = deliver(*[log_event(to(broker.address))] * 2)
    why = "(Unexpected error during batch delivery)"
    assert first == Failure(OutcomeUnknown(broker.address, why, TIME_NS))
    assert second == kept(0)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("sonda", logging.ERROR)


def test_a_cancelled_event_leaves_nothing_behind() -> None:
    """Where the server's grace period ends, the pipeline closes without a wait."""
    with kafka_broker(HANG) as broker:

        async def story(pipeline: Pipeline) -> None:
            task = asyncio.create_task(outcome(pipeline, log_event(to(broker.address))))
            await asyncio.to_thread(broker.produced.wait_for)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(story)
        broker.ended.wait_for(len(broker.connections.items))


def descriptors() -> int:
    gc.collect()  # what earlier tests have left
    return len(list(Path("/dev/fd").iterdir()))


# --- what is kept --------------------------------------------------------------------------------


def test_equal_destinations_share_a_connection() -> None:
    """However the brokers are written; another login does not share."""
    with kafka_broker() as broker:
        port = broker.port
        same = [f"127.0.0.1:{port}, localhost:{port}", f"LOCALHOST:{port} ,127.0.0.1:{port}"]
        results = deliver(*(log_event(to(brokers)) for brokers in [*same, *same]))
        assert results == [kept(n) for n in range(4)]
        assert len(broker.connections.items) == 1
        assert {batch.producer_id for batch in broker.produced.items} == {1000}


def test_only_so_many_clusters_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond them the one that has been idle for longest is closed."""
    monkeypatch.setattr(kafka, "IDLE_CLUSTERS", 1)
    with kafka_broker() as one, kafka_broker() as other:

        async def story(pipeline: Pipeline) -> None:
            for broker in (one, other):
                assert await outcome(pipeline, log_event(to(broker.address))) == kept(0)
            await asyncio.to_thread(one.ended.wait_for)
            assert other.ended.items == []

        run(story)


@both_loops
def test_nothing_piles_up_behind_failures(loop: NewLoop) -> None:
    """Whatever goes wrong, its producers end with their events, and its connections with the line."""
    loop().close()  # libuv keeps a pipe from a process's first loop on
    before = descriptors()
    with (
        kafka_broker(script=lambda _: STALL) as stalling,
        kafka_broker(script=lambda _: HANG_UP) as resetting,
        kafka_broker(script=lambda _: INVALID_RECORD) as refusing,
        faulty(Peer.hang) as silent,
    ):
        addresses = [each.address for each in (stalling, resetting, refusing, silent)]
        sinks = [to(address, timeout="50ms") for address in addresses]
        sinks += [{**sink, "tls": {}} for sink in sinks]

        async def story(pipeline: Pipeline) -> None:
            for _ in range(5):
                for sink in sinks:
                    assert isinstance(await outcome(pipeline, log_event(sink)), Failure)
            kept = pipeline._network.shared(kafka.Clusters)._kept.values()
            assert len(kept) == len(sinks)
            await asyncio.sleep(0)
            assert all(len(cluster._producers) <= 1 and not cluster.users for cluster in kept)
            assert all(len(cluster._client._conns) <= 1 for cluster in kept)

        run(story, loop=loop)
    assert descriptors() == before


def test_an_idle_cluster_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And opened again when there is something to send."""
    monkeypatch.setattr(kafka, "IDLE_S", 0.01)
    with kafka_broker() as broker:

        async def story(pipeline: Pipeline) -> None:
            assert await outcome(pipeline, log_event(to(broker.address))) == kept(0)
            await asyncio.to_thread(broker.ended.wait_for)
            assert await outcome(pipeline, log_event(to(broker.address))) == kept(1)

        run(story)
    assert len(broker.connections.items) == 2


@pytest.mark.parametrize("error", [TOPIC_UNAUTHORIZED, TOPIC_UNKNOWN])
def test_a_topic_that_is_not_there_is_not_asked_for_any_more(error: int) -> None:
    """A flood of names that nobody may use is forgotten with its events."""
    with kafka_broker(topic_error=error) as broker:
        sinks = [to(broker.address, timeout="500ms") | {"topic": f"t{n}"} for n in range(5)]
        deliver(*map(log_event, sinks))
    assert max(map(len, broker.topics.items)) == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["`localhost:1`", "`[::1]:2`"]),
        ({"tls": {}}, ["`localhost:1`", "`[::1]:2`"]),
        ({"sasl": LOGIN}, ["`localhost:1`", "`[::1]:2`", "SASL without TLS"]),
        ({"sasl": LOGIN, "tls": {"enabled": False}}, ["`localhost:1`", "`[::1]:2`", "SASL without TLS"]),
        ({"sasl": LOGIN, "tls": {}}, ["`localhost:1`", "`[::1]:2`"]),
    ],
)  # fmt: skip
def test_advisories(options: dict[str, Any], expected: list[str]) -> None:
    """One for each loopback broker, as it is written, and one for a password in clear."""
    sink = to("localhost:1, kafka:9092 ,[::1]:2", **options)
    validated = validate(log_event(sink), received_ns=0).unwrap()
    warnings = preflight(validated, in_server=True).unwrap().warnings
    assert len(warnings) == len(expected)
    for warning, part in zip(warnings, expected, strict=True):
        assert part in warning


def test_tls_files_are_confined(tmp_path: Path) -> None:
    """As for every sink; a file that is not spoken of, since TLS is off, is not looked at."""
    access_policy = AccessPolicy(tmp_path, tmp_path)
    tls = {"ca_cert": "/nowhere/ca.pem"}
    inside, off = (
        deliver(log_event(to("127.0.0.1:1", tls=tls | more)), access_policy=access_policy)
        for more in ({}, {"enabled": False})
    )
    assert isinstance(inside[0].failure(), Forbidden)
    assert off == [Failure(Unreachable("Kafka connect to 127.0.0.1:1", "Connection refused"))]


def test_secrets_are_not_shown() -> None:
    """Not by the options, nor by what identifies a connection."""
    login = sonda.Sasl(mechanism="PLAIN", username="u", password=SECRET)
    event = sonda.Log(
        message="x",
        encoder=sonda.encoders.JsonLines(),
        sink=sonda.sinks.Kafka(
            brokers="127.0.0.1:1",
            topic=TOPIC,
            headers={"token": SECRET},
            sasl=login,
        ),
    )
    access = ClusterKey((Address("h", 1),), None, None, login)
    result = sonda.emit(event)
    assert SECRET not in f"{event!r} {login!r} {access!r} {result!r}"


def test_what_aiokafka_does_for_others_is_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Only our own use of it is quiet."""
    deliver(log_event(to("127.0.0.1:1")))
    for name in ("aiokafka", "aiokafka.conn"):
        logging.getLogger(name).warning("theirs")
    assert [record.message for record in caplog.records] == ["theirs", "theirs"]


def test_a_broker_that_asks_for_too_many_iterations() -> None:
    """Of SCRAM's key: nobody computes for hours what an unknown peer asks for."""
    versions = [(0, 3), (3, 1), (18, 0), (22, 0), (17, 1), (36, 0)]
    iterations = 2**31 - 1

    def ask_for_many(peer: Peer) -> None:
        for _ in range(3):
            request = peer.read()  # small, and so in one piece
            key, correlation = struct.unpack(">4xhxxi", request[:12])
            if key == 18:  # ApiVersions
                listed = b"".join(struct.pack(">hhh", api, 0, most) for api, most in versions)
                answer = struct.pack(">hi", 0, len(versions)) + listed
            elif key == 17:  # SaslHandshake
                answer = struct.pack(">hih", 0, 1, 13) + b"SCRAM-SHA-512"
            else:
                nonce = request[request.index(b"r=") + 2 :].decode()
                first = f"r={nonce}x,s=c2FsdA==,i={iterations}".encode()
                answer = struct.pack(">hhi", 0, -1, len(first)) + first
            peer.send(struct.pack(">ii", len(answer) + 4, correlation) + answer)
        peer.read_all()

    with faulty(ask_for_many) as server:
        login = {"mechanism": "SCRAM-SHA-512", "username": "u", "password": "p"}
        (result,) = deliver(log_event(to(server.address, sasl=login, timeout="3s")))
        reason = f"the broker asks for {iterations} iterations of SCRAM; at most 200000 are done"
        assert result == Failure(Unreachable(f"Kafka connect to {server.address}", reason))


@pytest.mark.parametrize("key", ["", "x" * 9_999, "x" * 30_001])
def test_a_key_of_any_length_is_hashed_as_kafka_does(key: str) -> None:
    """A long one elsewhere, so that the event loop does not wait for it."""
    assert asyncio.run(kafka_client.hash_key(key.encode())) == murmur2(key.encode()) & 0x7FFFFFFF


def test_a_place_reads_as_kafka_writes_it() -> None:
    """Topic, partition and offset; without an offset where the broker has forgotten it."""
    assert str(RecordMetadata("events", 0, 42)) == "events-0@42"
    assert str(RecordMetadata("events", 3, None)) == "events-3"
    receipt = kept(7).unwrap()
    assert str(receipt) == "accepted at events-0@7 after 1 try in 0.0 ms"
    assert hash(receipt) == hash(kept(7).unwrap())
