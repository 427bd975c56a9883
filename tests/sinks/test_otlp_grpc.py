"""The `otlp_grpc` sink: a collector's yes and no, and what is neither when a connection ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from returns.result import Failure, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.net import AccessPolicy, descriptors
from sonda.pipeline.problems import (
    Forbidden,
    Invalid,
    OutcomeUnknown,
    Refused,
    Unreachable,
    ValidationIssue,
)
from sonda.pipeline.sinks.otlp_grpc import channels
from tests.backends.sending import post
from tests.support.bodies import METRIC, changed
from tests.support.collectors import (
    LOGS,
    METRICS,
    OK_HEADERS,
    accepts,
    answering_calls,
    collector,
    fails,
    frame,
    goaway,
    greet,
    headers,
    many_headers,
    message,
    next_call,
    rejects,
    reset_stream,
    says,
    take_call,
)
from tests.support.destinations import (
    PATIENCE_S,
    TIME_NS,
    NewLoop,
    Outcome,
    both_loops,
    deliver,
    log_event,
    outcome,
    run,
)
from tests.support.faulty import Certificates, Peer, Script, faulty, make_certificates
from tests.support.serving import serving
from tests.support.wire_otlp import exported_logs, exported_points

ACCEPTED: Final = Success(Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 1, 0, 0))
AT_ONCE: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}
NEVER: Final = Duration(seconds=3600)

# Which statuses may pass by the OTLP specification, and so are tried again.
PASSING: Final = {
    *("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
}
CODES: Final = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def event(address: str, text: str = "hello", **options: Any) -> dict[str, Any]:
    """Write the body of a log event for the server at *address*."""
    sink = {"type": "otlp_grpc", "endpoint": f"http://{address}", "signal_type": "logs", **options}
    return log_event(sink, text, encoder="otlp")


def in_clear(url: str) -> Success[Any]:
    """Expect a yes with the advice that credentials should not travel like this."""
    warning = (
        f"credentials travel in clear to `{url}`: "
        "use https:// so that nobody on the way can read them"
    )
    return Success(Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 1, 0, 0, warnings=(warning,)))


def refused(url: str, status: str, answer: str = "not now") -> Failure[Any]:
    return Failure(Refused(url, status, answer))


def unknown(url: str, reason: str) -> Failure[Any]:
    return Failure(OutcomeUnknown(url, reason, TIME_NS))


def unreachable(address: str, reason: str) -> Failure[Any]:
    return Failure(Unreachable(f"gRPC connect to {address}", reason))


# --- a yes ---------------------------------------------------------------------------------------


@both_loops
def test_delivers_logs(loop: NewLoop) -> None:
    """The encoder's bytes arrive as they are, and status OK is the collector's own yes."""
    with collector(accepts) as server:
        assert deliver(event(server.address), loop=loop) == [ACCEPTED]
        [called] = server.calls.items
    assert called.path == LOGS
    [log] = exported_logs(called.body)
    assert (log.body, log.time_ns) == ("hello", TIME_NS)


def test_delivers_metrics() -> None:
    """Metrics have a service of their own."""
    with collector(accepts) as server:
        sink = {"type": "otlp_grpc", "endpoint": server.url, "signal_type": "metrics"}
        body = changed(METRIC, encoder={"type": "otlp"}, sink=sink)
        [receipt] = deliver(body)
        assert receipt.unwrap().signal_type == "metrics"
        [called] = server.calls.items
    assert called.path == METRICS
    [point] = exported_points(called.body)
    assert point.name == "deploy_events_total"


@pytest.mark.parametrize("count", [0, -1])
def test_words_that_reject_nothing_are_a_warning(count: int) -> None:
    """A collector that accepts all but has something to say is quoted, on one line."""
    with collector(rejects(count, "use\nless labels")) as server:
        said = rf"{server.url} accepted the event and said: use\nless labels"
        receipt = Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 1, 0, 0, warnings=(said,))
        assert deliver(event(server.address)) == [Success(receipt)]


def test_an_answer_may_be_compressed() -> None:
    """Whoever compresses what is empty anyway is understood."""
    with faulty(ends(packed(gzip.compress(b"")), Peer.read_all)) as server:
        assert deliver(event(server.address)) == [ACCEPTED]


def test_metadata() -> None:
    """Headers are metadata in lowercase, with who we are; no compression, no deadline."""
    with collector(accepts) as server:
        given = {"X-Tenant": "tenant a", "authorization": "Bearer x"}
        assert deliver(event(server.address, headers=given)) == [in_clear(server.url)]
        metadata = dict(server.calls.items[0].metadata)
    assert str(metadata.pop("user-agent")).startswith("sonda/")
    assert metadata == {"x-tenant": "tenant a", "authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [({}, "Basic bsO8OiBw"), ({"Authorization": "Bearer x"}, "Bearer x")],
    ids=["userinfo", "a header wins"],
)
def test_userinfo_is_basic_authentication(given: Mapping[str, str], sent: str) -> None:
    """A name and password in the endpoint log in, and are shown nowhere."""
    with collector(accepts, fails(grpc.StatusCode.UNAUTHENTICATED, "who?")) as server:
        body = event(f"n%C3%BC:%20p@{server.address}", headers=given)
        shown = f"http://***@{server.address}"
        assert deliver(body, body) == [
            in_clear(shown),
            refused(shown, "UNAUTHENTICATED", "who?"),
        ]
        assert server.calls.items[0].metadata["authorization"] == sent


def test_large_events_arrive_whole() -> None:
    """The bound on answers is none on events."""
    text = "ä" + "x" * 5_000_000
    with collector(accepts) as server:
        assert deliver(event(server.address, text)) == [ACCEPTED]
        assert exported_logs(server.calls.items[0].body)[0].body == text


# --- a no ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_status_is_a_no(code: grpc.StatusCode) -> None:
    """Every status is told by its name with the collector's words; some are tried again."""
    with collector(fails(code), accepts) as server:
        again = code.name in PASSING
        expected: Outcome = refused(server.url, code.name)
        if again:
            expected = Success(Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 2, 0, 0))
        assert deliver(event(server.address, retry=AT_ONCE)) == [expected]
        assert len(server.calls.items) == (2 if again else 1)
        assert len({called.body for called in server.calls.items}) == 1


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_status_that_is_the_answers_end_is_a_no(code: grpc.StatusCode) -> None:
    """It makes no difference whether headers came before the status."""

    def answer(stream: int) -> bytes:
        status = ("grpc-status", str(code.value[0])), ("grpc-message", "not now")
        return headers(stream, *OK_HEADERS) + headers(stream, *status, end=True)

    with faulty(answering_calls(answer)) as server:
        assert deliver(event(server.address)) == [refused(server.url, code.name)]


@both_loops
@pytest.mark.parametrize("words", ["", "Deadline Exceeded", "CANCELLED", "a\r\nb\x1b"])
def test_the_words_of_a_status(loop: NewLoop, words: str) -> None:
    """What a collector says may look like an error of ours, or like nothing at all."""
    shown = {"a\r\nb\x1b": r"a\r\nb\u001b"}.get(words, words)
    with collector(fails(grpc.StatusCode.UNAVAILABLE, words)) as server:
        found = deliver(event(server.address), loop=loop)
        assert found == [refused(server.url, "UNAVAILABLE", shown)]


def test_a_rejected_record_is_a_no() -> None:
    """Status OK that rejects the record is no yes, and is never tried again."""
    with collector(rejects(1, "too old"), accepts) as server:
        no = refused(server.url, "OK, but rejected the event", "too old")
        assert deliver(event(server.address, retry=AT_ONCE)) == [no]
        assert len(server.calls.items) == 1


def test_a_rejected_point_is_a_no() -> None:
    """For metrics it is the number of data points that counts; it has the same place."""
    with collector(rejects(1, "")) as server:
        sink = {"type": "otlp_grpc", "endpoint": server.url, "signal_type": "metrics"}
        body = changed(METRIC, encoder={"type": "otlp"}, sink=sink)
        assert deliver(body) == [refused(server.url, "OK, but rejected the event", "")]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("503", "UNAVAILABLE"),
        ("429", "UNAVAILABLE"),
        ("302", "UNKNOWN"),
        ("401", "UNAUTHENTICATED"),
    ],
)
def test_an_answer_of_a_proxy_is_a_no(status: str, name: str) -> None:
    """Where a proxy answers in plain HTTP, its status is the reason."""
    no = ((":status", status), ("content-type", "text/html"))
    with faulty(answering_calls(lambda stream: headers(stream, *no, end=True))) as server:
        words = f"Received http2 header with status: {status}"
        assert deliver(event(server.address)) == [refused(server.url, name, words)]


def test_a_status_that_nobody_knows_is_a_no() -> None:
    """A number that gRPC has no name for is a status, too."""
    no = ("grpc-status", "99"), ("grpc-message", "odd")
    with faulty(ends(headers(1, *OK_HEADERS, *no, end=True), Peer.read_all)) as server:
        assert deliver(event(server.address)) == [refused(server.url, "UNKNOWN", "odd")]


def test_no_such_service() -> None:
    """A server for something else says that it does not know the method."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        no = refused(f"http://127.0.0.1:{port}", "UNIMPLEMENTED", "Method not found!")
        assert deliver(event(f"127.0.0.1:{port}")) == [no]
    finally:
        server.stop(None).wait()


# --- throttling ----------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits between tries instead of waiting."""
    asked: list[float] = []
    really_sleep = asyncio.sleep

    async def sleep(delay_s: float, *rest: Any) -> None:
        if delay_s > 0:
            asked.append(delay_s)
        await really_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return asked


@pytest.mark.parametrize(
    ("code", "delay", "expected"),
    [
        ("RESOURCE_EXHAUSTED", Duration(nanos=250_000_000), [0.25]),
        ("UNAVAILABLE", Duration(seconds=1, nanos=1), [1.000000001]),
        ("UNAVAILABLE", NEVER, [2.0]),
        ("UNAVAILABLE", Duration(seconds=-5), []),
        ("UNAVAILABLE", None, [0.004]),
    ],
)
def test_retry_info(
    code: str, delay: Duration | None, expected: list[float], waits: list[float]
) -> None:
    """The wait that a collector asks for replaces ours, up to `max_backoff`; no wait is no wait."""
    retry = {"max_attempts": 1, "initial_backoff": "4ms", "max_backoff": "2s"}
    no = fails(grpc.StatusCode[code], retry_after=delay)
    with collector(no, accepts) as server:
        receipt = Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 2, 0, 0)
        assert deliver(event(server.address, retry=retry)) == [Success(receipt)]
    assert waits == expected


def test_retry_info_does_not_make_every_status_pass() -> None:
    """A status that is final by the specification stays so."""
    code = grpc.StatusCode.INVALID_ARGUMENT
    with collector(fails(code, retry_after=Duration()), accepts) as server:
        assert deliver(event(server.address, retry=AT_ONCE)) == [refused(server.url, code.name)]


def test_details_that_cannot_be_read() -> None:
    """Details that are no `google.rpc.Status` ask for no wait."""

    def no(context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "not now")

    with collector(no, accepts) as server:
        found = deliver(event(server.address, retry=AT_ONCE))
        assert found == [refused(server.url, "RESOURCE_EXHAUSTED")]


# --- unknown -------------------------------------------------------------------------------------


def ends(answer: bytes, then: Script) -> Script:
    """Send *answer* to a call, whatever its stream, and go on as *then* says."""
    return answering_calls(lambda _stream: answer, then=then)


def packed(content: bytes) -> bytes:
    """Say yes in a message that says to be compressed."""
    head = headers(1, *OK_HEADERS, ("grpc-encoding", "gzip"))
    return head + message(1, content, packed=True) + headers(1, ("grpc-status", "0"), end=True)


TORN: Final = "Connection reset by peer|Broken pipe|Socket closed"
CUT_OFF: Final[Mapping[str, tuple[Script, str]]] = {
    "reset": (ends(b"", Peer.reset), TORN),
    "close": (ends(b"", Peer.close), TORN),
    "goaway before it": (ends(goaway(0), Peer.read_all), "GOAWAY received; Error code: 0"),
    "goaway and close": (ends(goaway(1), Peer.close), TORN),
    "headers and reset": (ends(headers(1, *OK_HEADERS), Peer.reset), TORN),
    "yes without status": (
        ends(headers(1, *OK_HEADERS) + message(1), Peer.close),
        TORN,
    ),
    "message is the end": (
        ends(headers(1, *OK_HEADERS) + message(1, end=True), Peer.read_all),
        "Stream removed",
    ),
    "no status": (
        ends(headers(1, *OK_HEADERS) + headers(1, ("x", "y"), end=True), Peer.read_all),
        "No status received",
    ),
    "too large": (
        ends(headers(1, *OK_HEADERS) + message(1, bytes(65_537)), Peer.read_all),
        "CLIENT: Received message larger than max",
    ),
    "too much headers": (ends(many_headers(1), Peer.read_all), "metadata size exceeds hard limit"),
    "headers that are none": (
        ends(frame(1, 5, 1, b"\xff" * 10), Peer.read_all),
        "Stream removed|HTTP/2",
    ),
    "status that is none": (
        ends(headers(1, *OK_HEADERS, ("grpc-status", "no"), end=True), Peer.read_all),
        "Stream removed|grpc-status",
    ),
    "web page": (
        ends(
            headers(1, (":status", "200"), ("content-type", "text/html"))
            + frame(0, 1, 1, b"<html>"),
            Peer.read_all,
        ),
        "Stream removed",
    ),
    "packed, but not really": (ends(packed(b"abc"), Peer.read_all), "Decompression failed"),
    "packed too large": (
        ends(packed(gzip.compress(bytes(10_000_000))), Peer.read_all),
        "message larger than max",
    ),
    "no http/2": (ends(b"HTTP/1.1 400 Bad Request\r\n\r\n", Peer.read_all), "http1|Frame size"),
    **{
        f"rst_stream {code}": (
            ends(reset_stream(1, code), Peer.read_all),
            rf"RST_STREAM with error code {code}\b",
        )
        for code in range(14)
    },
}


@both_loops
@pytest.mark.parametrize("case", CUT_OFF)
def test_a_status_that_grpc_makes_up_is_unknown(loop: NewLoop, case: str) -> None:
    """Whatever ends a call but a status of the server's, nobody knows what it has kept."""
    script, words = CUT_OFF[case]
    with faulty(script) as server:
        [found] = deliver(event(server.address), loop=loop)
        problem = found.failure()
        assert isinstance(problem, OutcomeUnknown)
        assert found == unknown(server.url, problem.reason)
        assert re.search(words, problem.reason)


def test_unknown_and_then_accepted() -> None:
    """A call that was cut off may be tried again, on a connection of its own."""
    script, _ = CUT_OFF["reset"]
    yes = ("grpc-status", "0")
    ok = answering_calls(lambda n: headers(n, *OK_HEADERS) + message(n) + headers(n, yes, end=True))
    with faulty(script, ok) as server:
        receipt = Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 2, 0, 0)
        assert deliver(event(server.address, retry=AT_ONCE)) == [Success(receipt)]
        assert len(server.connections.items) == 2


def test_unknown_and_then_refused() -> None:
    """A first try that was cut off stays unknown, whatever becomes of the second."""
    script, _ = CUT_OFF["close"]
    no = answering_calls(lambda n: headers(n, *OK_HEADERS, ("grpc-status", "3"), end=True))
    with faulty(script, no) as server:
        [found] = deliver(event(server.address, retry=AT_ONCE))
        assert isinstance(found.failure(), OutcomeUnknown)
        server.connections.wait_for(2)


def test_ok_without_a_message_is_unknown() -> None:
    """A yes that lacks what could take it back is none."""
    yes = ("grpc-status", "0")
    with faulty(answering_calls(lambda n: headers(n, *OK_HEADERS, yes, end=True))) as server:
        reason = "(status OK came without a message)"
        assert deliver(event(server.address)) == [unknown(server.url, reason)]


def test_an_answer_that_is_none_is_unknown() -> None:
    """An answer that no OTLP reader can read may hold a no."""
    with collector(says(b"\xff")) as server:
        reason = "(its answer cannot be decoded)"
        assert deliver(event(server.address)) == [unknown(server.url, reason)]


@both_loops
@pytest.mark.parametrize("size", [10, 5_000_000], ids=["small", "large"])
def test_a_hanging_collector(loop: NewLoop, size: int) -> None:
    """When the deadline ends a call, the outcome is unknown."""

    def hang(peer: Peer) -> None:
        greet(peer)
        peer.read()
        peer.hang()

    with faulty(hang) as server:
        found = deliver(event(server.address, "x" * size, timeout="2s"), loop=loop)
        assert found == [unknown(server.url, "within 2s")]


def test_words_of_a_relay() -> None:
    """A server that passes on what a gRPC library behind it has made up knows no better."""
    with collector(fails(grpc.StatusCode.UNAVAILABLE, "Socket closed")) as server:
        assert deliver(event(server.address)) == [unknown(server.url, "(Socket closed)")]


# --- unreachable ---------------------------------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A port on which nobody listens yet."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def address_of(bound: socket.socket) -> str:
    return "{}:{}".format(*bound.getsockname())


@both_loops
def test_nobody_listens(loop: NewLoop, deaf: socket.socket) -> None:
    """A refused connection is told in the operating system's own words."""
    gone = unreachable(address_of(deaf), "Connection refused")
    assert deliver(event(address_of(deaf)), loop=loop) == [gone]


@both_loops
def test_unknown_host(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is told in the resolver's words."""

    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    unheard = unreachable("nowhere.invalid:4317", "Name or service not known")
    assert deliver(event("nowhere.invalid:4317"), loop=loop) == [unheard]


@both_loops
def test_a_server_that_never_greets(loop: NewLoop) -> None:
    """No call leaves before both sides have agreed on HTTP/2."""
    with faulty(Peer.hang) as server:
        late = unreachable(server.address, "timed out after 0.3s")
        assert deliver(event(server.address, timeout="300ms"), loop=loop) == [late]


@pytest.mark.parametrize(
    "script", [Peer.close, lambda peer: (peer.read(), peer.send(b"HTTP/1.1 400 Bad\r\n\r\n"))]
)
def test_a_server_of_another_protocol(script: Script) -> None:
    """Where a connection comes about but no gRPC, its own words say why."""
    with faulty(script) as server:
        [found] = deliver(event(server.address))
        problem = found.failure()
        assert isinstance(problem, Unreachable)
        assert problem.reason.startswith("failed to connect to all addresses; last error: ")


def test_a_retry_after_a_refused_connection(
    deaf: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that comes up during the wait gets the event: no back-off of gRPC's holds it up."""
    _, port = deaf.getsockname()

    async def all_in_one(pipeline: Pipeline) -> list[Outcome]:
        body = event(address_of(deaf))
        first = await outcome(pipeline, body)
        deaf.close()
        with collector(accepts, port=port):
            return [first, await outcome(pipeline, body)]

    gone = unreachable(address_of(deaf), "Connection refused")
    assert run(all_in_one) == [gone, ACCEPTED]


# --- kept channels -------------------------------------------------------------------------------


def serve_calls(peer: Peer) -> None:
    """Accept every call on the connection."""
    greet(peer)
    while True:
        stream = next_call(peer)
        yes = headers(stream, *OK_HEADERS) + message(stream)
        peer.send(yes + headers(stream, ("grpc-status", "0"), end=True))


@both_loops
def test_events_share_a_connection(loop: NewLoop) -> None:
    """Events one after another, and many at once, travel on one connection."""

    async def work(pipeline: Pipeline) -> list[Outcome]:
        body = event(server.address)
        one_by_one = [await outcome(pipeline, body) for _ in range(3)]
        return one_by_one + await asyncio.gather(*(outcome(pipeline, body) for _ in range(200)))

    with faulty(serve_calls) as server:
        assert run(work, loop=loop) == [ACCEPTED] * 203
        assert len(server.connections.items) == 1


def test_other_credentials_have_their_own_connection() -> None:
    """Who has other metadata or another name shares no connection."""
    with faulty(serve_calls) as server:
        bodies = [
            event(server.address),
            event(server.address, headers={"x-tenant": "a"}),
            event(server.address, headers={"x-tenant": "b"}),
            event(server.address, headers={"X-Tenant": "a"}),
        ]
        assert deliver(*bodies) == [ACCEPTED] * 4
        assert len(server.connections.items) == 3


async def until_grpc_knows(pipeline: Pipeline) -> None:
    """Wait until gRPC takes its one connection for lost."""
    [line] = pipeline._network.shared(channels.Channels)._states.values()
    assert line.channel is not None
    async with asyncio.timeout(PATIENCE_S):
        await line.channel.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)


@both_loops
@pytest.mark.parametrize("ending", ["close", "reset", "goaway", "close, seen by gRPC alone"])
def test_a_collector_that_goes_while_idle_costs_no_event(
    loop: NewLoop, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection that has ended is replaced before the next call, known to gRPC or not."""
    blind = ending == "close, seen by gRPC alone"
    if blind:
        monkeypatch.setattr(descriptors, "_LOOKED_AT", 0)

    def answer_once(peer: Peer) -> None:
        stream = take_call(peer)
        yes = headers(stream, *OK_HEADERS) + message(stream)
        peer.send(yes + headers(stream, ("grpc-status", "0"), end=True))
        if ending == "goaway":
            peer.send(goaway(stream))
            peer.read_all()
        if ending == "reset":
            peer.reset()
        peer.close()

    async def work(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, event(server.address))
        if blind or ending == "goaway":
            await until_grpc_knows(pipeline)
        else:
            await asyncio.to_thread(server.ended.wait_for)
        return [first, await outcome(pipeline, event(server.address))]

    with faulty(answer_once, serve_calls) as server:
        assert run(work, loop=loop) == [ACCEPTED, ACCEPTED]
        assert len(server.connections.items) == 2


@both_loops
def test_a_connection_that_has_died_silently_is_given_up(loop: NewLoop) -> None:
    """After the first call that times out the next one has a connection of its own."""

    def fall_silent(peer: Peer) -> None:
        stream = take_call(peer)
        yes = headers(stream, *OK_HEADERS) + message(stream)
        peer.send(yes + headers(stream, ("grpc-status", "0"), end=True))
        peer.read_all()

    async def work(pipeline: Pipeline) -> list[Outcome]:
        one = event(server.address, timeout="1s")
        together = [outcome(pipeline, one) for _ in range(2)]
        return [
            await outcome(pipeline, event(server.address)),  # to connect may take its time
            *await asyncio.gather(*together),
            await outcome(pipeline, event(server.address)),
            await outcome(pipeline, event(server.address)),
        ]

    with faulty(fall_silent, serve_calls) as server:
        late = Failure(OutcomeUnknown(server.url, "within 1s", TIME_NS))
        assert run(work, loop=loop) == [ACCEPTED, late, late, ACCEPTED, ACCEPTED]
        assert len(server.connections.items) == 2
        server.ended.wait_for()


def test_a_call_under_way_survives_a_goaway() -> None:
    """A collector that says goodbye may still answer what it has; the next call goes elsewhere."""

    def say_goodbye_first(peer: Peer) -> None:
        stream = take_call(peer)
        peer.send(goaway(stream))
        said_goodbye.set()
        assert second_is_done.wait(PATIENCE_S)
        yes = headers(stream, *OK_HEADERS) + message(stream)
        peer.send(yes + headers(stream, ("grpc-status", "0"), end=True))
        peer.read_all()

    async def work(pipeline: Pipeline) -> list[Outcome]:
        first = asyncio.create_task(outcome(pipeline, event(server.address, "first")))
        assert await asyncio.to_thread(said_goodbye.wait, PATIENCE_S)
        await until_grpc_knows(pipeline)
        second = await outcome(pipeline, event(server.address, "second"))
        second_is_done.set()
        return [await first, second]

    said_goodbye, second_is_done = threading.Event(), threading.Event()
    with faulty(say_goodbye_first, serve_calls) as server:
        assert run(work) == [ACCEPTED, ACCEPTED]


def test_idle_channels_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that nobody uses is closed after a while."""

    async def work(pipeline: Pipeline) -> None:
        assert await outcome(pipeline, event(server.address)) == ACCEPTED
        await asyncio.to_thread(server.ended.wait_for)
        assert not pipeline._network.shared(channels.Channels)._states
        assert await outcome(pipeline, event(server.address)) == ACCEPTED

    def serve_and_note(peer: Peer) -> None:
        try:
            serve_calls(peer)
        finally:
            peer.close()

    monkeypatch.setattr(channels, "IDLE_S", 0.05)
    with faulty(serve_and_note) as server:
        run(work)


def test_idle_channels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of idle channels the oldest is closed."""
    monkeypatch.setattr(channels, "IDLE_CHANNELS", 2)

    async def work(pipeline: Pipeline) -> list[Any]:
        for tenant in ("a", "b", "c"):
            body = event(server.address, headers={"x-tenant": tenant})
            assert await outcome(pipeline, body) == ACCEPTED
        kept = pipeline._network.shared(channels.Channels)._states
        return [dict(destination.metadata)["x-tenant"] for destination in kept]

    with faulty(serve_calls) as server:
        assert run(work) == ["b", "c"]


def test_places_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that finds no place within its deadline has not left."""
    monkeypatch.setattr(channels, "CALLS_PER_DESTINATION", 1)

    async def work(pipeline: Pipeline) -> list[Outcome]:
        slow = asyncio.create_task(outcome(pipeline, event(server.address, timeout="3s")))
        await asyncio.to_thread(server.received.wait_for)
        quick = await outcome(pipeline, event(server.address, timeout="200ms"))
        return [await slow, quick]

    def hang(peer: Peer) -> None:
        take_call(peer)
        peer.hang()

    with faulty(hang) as server:
        assert run(work) == [
            unknown(server.url, "within 3s"),
            unreachable(server.address, "timed out after 0.2s"),
        ]


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for this file's servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("pki"))


def server_credentials(
    pki: Certificates, *names: str, wants_client: bool = False
) -> grpc.ServerCredentials:
    """Give a gRPC server a certificate for 127.0.0.1, unless *names* says otherwise."""
    issued = pki.authority.issue_cert(*(names or ("127.0.0.1",)))
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    trusted = pki.authority.cert_pem.bytes() if wants_client else None
    pair = (issued.private_key_pem.bytes(), chain)
    return grpc.ssl_server_credentials([pair], trusted, wants_client)


def secured(address: str, **tls: str) -> dict[str, Any]:
    return event(address, endpoint=f"https://{address}", tls=tls)


@both_loops
@pytest.mark.parametrize("with_client", ["none", "two_files", "one_file"])
def test_tls_delivers(loop: NewLoop, with_client: str, pki: Certificates) -> None:
    """Over TLS the calls are the same; a certificate of ours is shown, from one file or from two."""
    tls = {"ca_cert": pki.path("ca.pem")}
    if with_client == "two_files":
        tls |= {"client_cert": pki.path("client.pem"), "client_key": pki.path("client.key")}
    if with_client == "one_file":
        tls |= {"client_cert": pki.path("client-both.pem")}
    credentials = server_credentials(pki, wants_client=with_client != "none")
    with collector(accepts, credentials=credentials) as server:
        body = secured(server.address, **tls)
        assert deliver(body, body, loop=loop) == [ACCEPTED] * 2
        assert len(server.calls.items) == 2


def test_server_name_is_asked_for_and_verified(pki: Certificates) -> None:
    """With `server_name` the server must prove that name instead of the address."""
    credentials = server_credentials(pki, "logs.example.org")
    with collector(accepts, credentials=credentials) as server:
        body = secured(server.address, ca_cert=pki.path("ca.pem"), server_name="logs.example.org.")
        assert deliver(body) == [ACCEPTED]


@pytest.mark.parametrize(
    ("names", "tls", "reason"),
    [
        ((), {"ca_cert": "stranger-ca.pem"}, "unable to get local issuer certificate"),
        (
            ("logs.example.org",),
            {"ca_cert": "ca.pem"},
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
        ),
        (
            (),
            {"ca_cert": "ca.pem", "server_name": "logs.example.org"},
            "Hostname mismatch, certificate is not valid for 'logs.example.org'",
        ),
    ],
    ids=["unknown_ca", "wrong_address", "wrong_name"],
)
def test_a_server_that_cannot_be_trusted(
    names: tuple[str, ...], tls: Mapping[str, str], reason: str, pki: Certificates
) -> None:
    """A certificate that does not prove the server is a no, and nothing is sent."""
    options = {**tls, "ca_cert": pki.path(tls["ca_cert"])}
    with collector(accepts, credentials=server_credentials(pki, *names)) as server:
        full = f"certificate verification failed: {reason}"
        found = deliver(secured(server.address, **options))
        assert found == [unreachable(server.address, full)]
        assert server.calls.items == []


def test_the_systems_authorities_are_the_default(pki: Certificates) -> None:
    """Without `ca_cert` the system's authorities are asked, and they do not know this one."""
    with collector(accepts, credentials=server_credentials(pki)) as server:
        body = event(server.address, endpoint=f"https://{server.address}")
        reason = "certificate verification failed: unable to get local issuer certificate"
        assert deliver(body) == [unreachable(server.address, reason)]


def test_the_systems_authorities_can_be_added_to(
    pki: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom the system trusts, this sink trusts as all others do."""
    monkeypatch.setenv("SSL_CERT_FILE", pki.path("ca.pem"))
    with collector(accepts, credentials=server_credentials(pki)) as server:
        body = event(server.address, endpoint=f"https://{server.address}")
        assert deliver(body) == [ACCEPTED]


@both_loops
@pytest.mark.parametrize("shows", ["nothing", "stranger"])
def test_a_client_that_is_turned_away(loop: NewLoop, shows: str, pki: Certificates) -> None:
    """A server that wants another client certificate has not got the event."""
    tls = {"ca_cert": pki.path("ca.pem")}
    if shows != "nothing":
        tls["client_cert"] = pki.path(f"{shows}.pem")
        tls["client_key"] = pki.path(f"{shows}.key")
    with collector(accepts, credentials=server_credentials(pki, wants_client=True)) as server:
        [found] = deliver(secured(server.address, **tls), loop=loop)
        assert isinstance(found.failure(), Unreachable)
        assert server.calls.items == []


def test_a_server_without_tls(pki: Certificates) -> None:
    """A server that speaks in clear is a no."""
    with collector(accepts) as server:
        [found] = deliver(secured(server.address, ca_cert=pki.path("ca.pem")))
        problem = found.failure()
        assert isinstance(problem, Unreachable)
        assert problem.attempt == f"gRPC connect to {server.address}"


def test_tls_files_are_confined(pki: Certificates, tmp_path: Path) -> None:
    """A server reads TLS files below its roots only, for this sink as for the others."""
    file = pki.path("ca.pem")
    found = deliver(
        secured("127.0.0.1:1", ca_cert=file), access_policy=AccessPolicy(tmp_path, tmp_path)
    )
    what = f'TLS file "{file}" is outside the folders for TLS files'
    rule = "sonda-server --tls-root DIR would allow its folder"
    assert found == [Failure(Forbidden(what, rule))]


def test_tls_files_that_are_none(tmp_path: Path) -> None:
    """A file that holds no certificate is told before anything is sent."""
    (tmp_path / "ca.pem").write_text("nothing")
    path = str(tmp_path / "ca.pem")
    reason = "TLS: no certificate or crl found"
    found = deliver(secured("127.0.0.1:1", ca_cert=path))
    assert found == [Failure(Unreachable(f'read TLS file "{path}"', reason))]


def test_a_changed_ca_is_a_new_channel(pki: Certificates, tmp_path: Path) -> None:
    """What the files say now counts, not what they said when the channel was opened."""
    ca_cert = tmp_path / "ca.pem"

    async def work(pipeline: Pipeline) -> list[Outcome]:
        ca_cert.write_bytes(pki.authority.cert_pem.bytes())
        first = await outcome(pipeline, secured(server.address, ca_cert=str(ca_cert)))
        ca_cert.unlink()
        ca_cert.write_bytes(pki.stranger.cert_pem.bytes())
        return [first, await outcome(pipeline, secured(server.address, ca_cert=str(ca_cert)))]

    with collector(accepts, credentials=server_credentials(pki)) as server:
        reason = "certificate verification failed: unable to get local issuer certificate"
        assert run(work) == [ACCEPTED, unreachable(server.address, reason)]


# --- the rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_other_families(host: str) -> None:
    """IPv6, and names with addresses of both families, are reached as well."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with faulty(serve_calls, host="::1" if host == "::1" else "127.0.0.1") as server:
        address = server.address if host == "::1" else f"localhost:{server.port}"
        assert deliver(event(address)) == [ACCEPTED]


def test_addresses_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first of a name's addresses refuses, the other one gets the event."""

    def look_up(_host: str, port: int, *_: object, **flags: object) -> list[Any]:
        if "flags" in flags:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        return [six, four]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with faulty(serve_calls) as server:
        assert deliver(event(f"both.example:{server.port}")) == [ACCEPTED]


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says about proxies is for others."""
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with faulty(serve_calls) as server:
        assert deliver(event(f"localhost:{server.port}")) == [ACCEPTED]


@both_loops
def test_an_event_that_is_given_up(loop: NewLoop) -> None:
    """A caller who does not wait for a verdict leaves the channel to the next event."""

    def hang_once(peer: Peer) -> None:
        greet(peer)
        first = next_call(peer)
        second = next_call(peer)
        assert second > first
        yes = headers(second, *OK_HEADERS) + message(second)
        peer.send(yes + headers(second, ("grpc-status", "0"), end=True))
        peer.read_all()

    async def work(pipeline: Pipeline) -> Outcome:
        given_up = asyncio.create_task(outcome(pipeline, event(server.address)))
        await asyncio.to_thread(server.received.wait_for_bytes, 300)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        return await outcome(pipeline, event(server.address))

    with faulty(hang_once) as server:
        assert run(work, loop=loop) == ACCEPTED
        assert len(server.connections.items) == 1


def test_signal_type_must_be_the_events() -> None:
    """A sink for the other signal is a mistake that is told before anything is sent."""
    with collector(accepts) as server:
        flaw = ValidationIssue(
            "sink.signal_type", 'invalid value "metrics": must be the event\'s, "logs"'
        )
        found = deliver(event(server.address, signal_type="metrics"))
        assert found == [Failure(Invalid((flaw,)))]
        assert server.calls.items == []


@pytest.mark.parametrize("name", ["otlp-log", "otlp-metric"])
def test_the_contracts_cases(name: str) -> None:
    """A server, which runs on uvloop, delivers them; its advice about loopback comes along."""
    lines = (Path(__file__).parents[1] / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    (case,) = (found for found in map(json.loads, lines) if found["name"] == name)
    with serving() as running, collector(accepts) as server:
        body = json.dumps(case["body"]).replace("@GRPC@", server.url)
        status, answer = post(running.url, json.loads(body))
        assert status == case["status"]
        assert answer["sent"] is True
        assert answer["signal_type"] == case["body"]["signal_type"]
        (warning,) = answer["warnings"]
        assert f"sink `otlp_grpc` targets `{server.url}`" in warning
        assert len(server.calls.items) == 1


def test_nothing_is_imported_before_it_is_needed() -> None:
    """A pipeline that has sent no such event has loaded neither gRPC nor protobuf."""
    code = (
        "import asyncio, sys, sonda\n"
        "async def main():\n"
        "    async with sonda.Pipeline(in_server=True) as pipeline:\n"
        "        await pipeline.emit({'signal_type': 'logs', 'labels': {}, 'log': {'severity':"
        " 'info', 'message': 'm'}, 'encoder': {'type': 'json_lines'}, 'sink': {'type': 'stdout'}})\n"
        "asyncio.run(main())\n"
        "print(sorted({'grpc', 'google.protobuf', 'opentelemetry'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("code", "may_be_stored"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, False),
        (grpc.StatusCode.PERMISSION_DENIED, False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, False),
        (grpc.StatusCode.UNAVAILABLE, True),
        (grpc.StatusCode.INTERNAL, True),
        (grpc.StatusCode.UNKNOWN, True),
    ],
)
def test_which_statuses_leave_a_doubt(code: grpc.StatusCode, may_be_stored: bool) -> None:
    """What a proxy may say after the collector has stored the event does not say that it has not."""
    with collector(fails(code)) as here:
        [refused] = deliver(event(here.address))
    problem = refused.failure()
    assert isinstance(problem, Refused)
    assert problem.may_be_stored is may_be_stored


FORKING: Final = """
import json, os, sys
import sonda

event = json.loads(sys.argv[1])
before = sonda.emit(event)
child = os.fork()
if child == 0:
    print(str(sonda.emit(event).failure()), flush=True)
    print(str(sonda.emit(event).failure()), flush=True)
    sys.exit(7)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, type(before) is type(sonda.emit(event)), flush=True)
"""


@pytest.mark.parametrize("listens", [True, False], ids=["after a yes", "after a failure"])
def test_a_forked_process_says_why_it_cannot(listens: bool) -> None:
    """Its events neither hang nor crash it, and it ends in peace; the parent's go on as before."""
    with collector(accepts) as here:
        address = here.address if listens else "127.0.0.1:1"
        command = [sys.executable, "-c", FORKING, json.dumps(event(address, timeout="2s"))]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
    first, second, last = done.stdout.splitlines()
    assert first == second
    assert "gRPC cannot be used here: this process was forked after it had been used" in first
    assert last == "7 True"
