"""The `tcp` sink: frames, kept connections, TLS, and what may be said when a connection breaks."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import pytest
from returns.result import Failure, Success

from sonda import load_scenario, run_scenario
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.net import batching as batches
from sonda.pipeline.net import pool as streams
from sonda.pipeline.net.connection import Connection
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from tests.support.destinations import (
    PATIENCE_S,
    TIME_NS,
    NewLoop,
    Outcome,
    at_once,
    both_loops,
    deliver,
    json_line,
    log_event,
    outcome,
    run,
    tcp_destination,
)
from tests.support.faulty import Certificates, Peer, Script, faulty, make_certificates

HANDED_OFF: Final = Success(Receipt("logs", Confirmed.HANDED_OFF, TIME_NS, 1, 0))
LARGE: Final = "ä" + "x" * 5_000_000  # more bytes than characters
"""A message of 5 MB, more than the kernel's buffers of both sides take."""
AT_ONCE: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}


def to(address: str, **options: Any) -> dict[str, Any]:
    """Address the `tcp` sink."""
    return {"type": "tcp", "address": address, **options}


def read_all(peer: Peer) -> None:
    """Take in what comes, as a well-behaved receiver does."""
    peer.read_all()


def read_one_and_close(peer: Peer) -> None:
    """Take in one event, and hang up."""
    peer.read()


def read_some_and_reset(peer: Peer) -> None:
    """Break off in the middle of a large event."""
    peer.read_exactly(100_000)
    peer.reset()


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A port on which nobody listens yet."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def address_of(bound: socket.socket) -> str:
    """Write down where a socket is bound."""
    return "{}:{}".format(*bound.getsockname())


# --- delivered -----------------------------------------------------------------------------------


@both_loops
def test_writes_the_line(loop: NewLoop) -> None:
    """The encoder's bytes arrive as they are, and the receipt claims no more than a hand-off."""
    with tcp_destination() as destination:
        assert deliver(log_event(to(destination.address)), loop=loop) == [HANDED_OFF]
        assert destination.received.wait_for_bytes(len(json_line())) == json_line()


@pytest.mark.parametrize("encoder", ["json_lines", "syslog"])
def test_octet_counting_counts_bytes(encoder: str) -> None:
    """The count in front of a frame is of bytes, not of characters, and the last LF is left out."""
    with tcp_destination() as destination:
        sink = to(destination.address, framing="octet_counting")
        assert deliver(log_event(sink, "naïve €😀\nü", encoder=encoder)) == [HANDED_OFF]
        frame = destination.received.wait_for_bytes(40)
    count, _, message = frame.partition(b" ")
    assert int(count) == len(message) != len(message.decode())
    assert message.endswith("ü".encode() if encoder == "syslog" else b"}")


@both_loops
def test_events_share_a_connection(loop: NewLoop) -> None:
    """Events one after another travel on one connection."""
    with tcp_destination() as destination:
        events = [log_event(to(destination.address), f"number {n}") for n in range(5)]
        assert deliver(*events, loop=loop) == [HANDED_OFF] * 5
        lines = b"".join(json_line(f"number {n}") for n in range(5))
        assert destination.received.wait_for_bytes(len(lines)) == lines
        assert len(destination.connections.items) == 1


@both_loops
@pytest.mark.parametrize("framing", ["lf", "octet_counting"])
def test_events_at_once_are_written_at_once(loop: NewLoop, framing: str) -> None:
    """Events that are there together leave in one write, in their order, each a frame."""
    with tcp_destination() as destination:
        sink = to(destination.address, framing=framing)
        names = [f"event {number}" for number in range(50)]
        assert at_once(sink, *names, loop=loop) == [HANDED_OFF] * 50
        lines = map(json_line, names)
        frames = lines if framing == "lf" else (b"%d %b" % (len(l) - 1, l[:-1]) for l in lines)
        expected = b"".join(frames)
        assert destination.received.wait_for_bytes(len(expected)) == expected
        assert len(destination.received.items) == 1
        assert len(destination.connections.items) == 1


@both_loops
@pytest.mark.parametrize("framing", ["lf", "octet_counting"])
def test_concurrent_events_never_interleave(loop: NewLoop, framing: str) -> None:
    """Of 200 events at once each arrives whole, over no more connections than are allowed."""
    messages = [f"{n} " + "x" * (n * 211) for n in range(200)]

    async def all_at_once(pipeline: Pipeline) -> list[Outcome]:
        sink = to(server.address, framing=framing)
        return await asyncio.gather(*(outcome(pipeline, log_event(sink, m)) for m in messages))

    expected = [json_line(message) for message in messages]
    if framing == "octet_counting":
        expected = [b"%d %b" % (len(line) - 1, line[:-1]) for line in expected]
    by_connection: list[bytearray] = []

    def record(peer: Peer) -> None:
        by_connection.append(mine := bytearray())
        while received := peer.read():
            mine.extend(received)

    with faulty(record) as server:
        assert run(all_at_once, loop=loop) == [HANDED_OFF] * 200
        server.received.wait_for_bytes(sum(map(len, expected)))
        server.ended.wait_for(len(server.connections.items))
    frames = Counter(frame for mine in by_connection for frame in _frames(bytes(mine), framing))
    assert frames == Counter(expected)
    assert 1 <= len(by_connection) <= streams.CONNECTIONS_PER_DESTINATION


def _frames(received: bytes, framing: str) -> Iterator[bytes]:
    while framing == "octet_counting" and received:
        count, _, rest = received.partition(b" ")
        yield count + b" " + rest[: int(count)]
        received = rest[int(count) :]
    yield from received.splitlines(keepends=True)


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_a_slow_reader_gets_a_large_event_whole(
    loop: NewLoop, secured: bool, pki: Certificates
) -> None:
    """An event of 5 MB goes at the reader's pace, and all of it arrives."""

    def read_slowly(peer: Peer) -> None:
        while peer.read(262_144):
            time.sleep(0.002)

    with faulty(read_slowly, tls=pki.server() if secured else None) as server:
        sink = to(server.address, **({"tls": {"ca_cert": pki.path("ca.pem")}} if secured else {}))
        assert deliver(log_event(sink, LARGE), loop=loop) == [HANDED_OFF]
        assert server.received.wait_for_bytes(len(json_line(LARGE))) == json_line(LARGE)


def test_ipv6() -> None:
    """An IPv6 address stands in brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")
    with faulty(read_all, host="::1") as server:
        assert deliver(log_event(to(server.address))) == [HANDED_OFF]
        assert server.received.wait_for_bytes(len(json_line())) == json_line()


# --- the peer comes and goes ---------------------------------------------------------------------


@both_loops
def test_a_closed_connection_is_replaced(loop: NewLoop) -> None:
    """A peer that hangs up between two events costs none of them."""

    async def two(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(to(server.address), "first"))
        await asyncio.to_thread(server.ended.wait_for)
        return [first, await outcome(pipeline, log_event(to(server.address), "second"))]

    with faulty(read_one_and_close, read_all) as server:
        assert run(two, loop=loop) == [HANDED_OFF, HANDED_OFF]
        both = json_line("first") + json_line("second")
        assert server.received.wait_for_bytes(len(both)) == both
        assert len(server.connections.items) == 2


@both_loops
def test_a_broken_connection_is_replaced(loop: NewLoop) -> None:
    """A peer that resets the idle connection costs no event either."""

    def read_one_and_reset(peer: Peer) -> None:
        peer.read()
        peer.reset()

    async def two(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(to(server.address), "first"))
        await asyncio.to_thread(server.ended.wait_for)
        return [first, await outcome(pipeline, log_event(to(server.address), "second"))]

    with faulty(read_one_and_reset, read_all) as server:
        assert run(two, loop=loop) == [HANDED_OFF, HANDED_OFF]
        both = json_line("first") + json_line("second")
        assert server.received.wait_for_bytes(len(both)) == both


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_a_talking_peer_is_ignored(secured: bool, pki: Certificates) -> None:
    """A banner and a word after every event cost neither an event nor the connection."""

    def talk(peer: Peer) -> None:
        peer.send(b"220 welcome\r\n")
        while peer.read():
            peer.send(b"250 thank you\r\n")

    async def some(pipeline: Pipeline) -> list[Outcome]:
        outcomes = []
        for n in range(4):
            outcomes.append(await outcome(pipeline, log_event(sink, str(n))))
            await asyncio.to_thread(server.received.wait_for, n + 1)
        return outcomes

    with faulty(talk, tls=pki.server() if secured else None) as server:
        sink = to(server.address, **({"tls": {"ca_cert": pki.path("ca.pem")}} if secured else {}))
        assert run(some) == [HANDED_OFF] * 4
        assert server.received.wait_for(4) == [json_line(str(n)) for n in range(4)]
        assert len(server.connections.items) == 1


def test_a_half_closed_peer_gets_every_event() -> None:
    """A receiver that has closed its own direction still gets what it reads."""

    def only_listen(peer: Peer) -> None:
        peer.half_close()
        peer.read_all()

    async def some(pipeline: Pipeline) -> list[Outcome]:
        outcomes = []
        for n in range(3):
            outcomes.append(await outcome(pipeline, log_event(to(server.address), str(n))))
            await asyncio.to_thread(server.received.wait_for, n + 1)
        return outcomes

    with faulty(only_listen) as server:
        assert run(some) == [HANDED_OFF] * 3
        assert server.received.wait_for(3) == [json_line(str(n)) for n in range(3)]


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_what_was_handed_off_survives_the_close(
    loop: NewLoop, secured: bool, pki: Certificates
) -> None:
    """A pipeline that closes at once, and a peer that talks late, lose nothing under way."""

    def talk_and_read_late(peer: Peer) -> None:
        for word in (b"220 welcome\r\n", b"221 still there\r\n"):
            time.sleep(0.1)
            peer.send(word)
        time.sleep(0.1)
        peer.read_all()

    message = "x" * 1_000_000  # fits the kernel's buffers, but not the reader's alone
    with faulty(talk_and_read_late, tls=pki.server() if secured else None) as server:
        sink = to(server.address, **({"tls": {"ca_cert": pki.path("ca.pem")}} if secured else {}))
        assert deliver(log_event(sink, message), loop=loop) == [HANDED_OFF]
        server.ended.wait_for()
        assert b"".join(server.received.items) == json_line(message)


# --- never reached -------------------------------------------------------------------------------


@both_loops
def test_connection_refused(loop: NewLoop) -> None:
    """A refused connection is told in the contract's exact words."""
    refused = Unreachable("TCP connect to 127.0.0.1:1", "Connection refused")
    assert deliver(log_event(to("127.0.0.1:1")), loop=loop) == [Failure(refused)]
    assert str(refused) == "sink error: TCP connect to 127.0.0.1:1: Connection refused"


@both_loops
def test_refused_on_every_address(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all addresses of a name refuse, the reason stands once, in the same words."""
    _resolve_to(monkeypatch, ["127.0.0.1", "127.0.0.2"])
    refused = Unreachable("TCP connect to two.example:1", "Connection refused")
    assert deliver(log_event(to("two.example:1")), loop=loop) == [Failure(refused)]


@both_loops
def test_the_next_address_is_tried(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an address that refuses, and one that accepts, is reached."""
    with tcp_destination() as destination:
        _resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        where = destination.address.replace("127.0.0.1", "two.example")
        assert deliver(log_event(to(where)), loop=loop) == [HANDED_OFF]


def _resolve_to(monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    real = socket.getaddrinfo

    def fake(host: str, port: int, **options: Any) -> Any:
        if host != "two.example":
            return real(host, port, **options)
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for each in hosts for found in real(each, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", fake)


@both_loops
def test_unknown_host(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is told in the resolver's words."""
    monkeypatch.setattr(socket, "getaddrinfo", _nobody)
    unknown = Unreachable("TCP connect to nowhere.invalid:514", "Name or service not known")
    assert deliver(log_event(to("nowhere.invalid:514")), loop=loop) == [Failure(unknown)]


def _nobody(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("host", ["a" * 64, "a" * 64 + ".example", f"[fe80::1%{'x' * 64}]"])
def test_a_name_that_no_resolver_takes(host: str) -> None:
    """A name with too long a part has no address; it is no bug of ours."""
    unknown = Unreachable(f"TCP connect to {host}:514", "Name or service not known")
    assert deliver(log_event(to(f"{host}:514"))) == [Failure(unknown)]


# --- unknown -------------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_a_torn_write_is_unknown(loop: NewLoop, secured: bool, pki: Certificates) -> None:
    """When the peer breaks off in the middle of an event, nobody knows what it has kept."""
    with faulty(read_some_and_reset, tls=pki.server() if secured else None) as server:
        sink = to(server.address, **({"tls": {"ca_cert": pki.path("ca.pem")}} if secured else {}))
        [torn] = deliver(log_event(sink, LARGE), loop=loop)
        assert torn in (
            Failure(OutcomeUnknown(server.address, "(Connection reset by peer)", TIME_NS)),
            Failure(OutcomeUnknown(server.address, "(Broken pipe)", TIME_NS)),
        )


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_a_peer_that_stops_reading(loop: NewLoop, secured: bool, pki: Certificates) -> None:
    """When the deadline ends an event half-way, the outcome is unknown."""
    with faulty(Peer.hang, tls=pki.server() if secured else None) as server:
        sink = to(server.address, timeout="1s")
        if secured:
            sink["tls"] = {"ca_cert": pki.path("ca.pem")}
        unknown = OutcomeUnknown(server.address, "within 1s", TIME_NS)
        assert deliver(log_event(sink, LARGE), loop=loop) == [Failure(unknown)]


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("framing", ["lf", "octet_counting"])
def test_each_event_of_a_torn_write_is_judged_by_its_own_bytes(
    framing: str,
    secured: bool,
    loop: NewLoop,
    pki: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Written together, the whole one is a yes, the torn one unknown, the untouched one unsent."""
    monkeypatch.setattr(batches, "BATCH_BYTES", 1 << 26)
    with faulty(read_some_and_reset, tls=pki.server() if secured else None) as server:
        sink = to(server.address, framing=framing, timeout="5m")  # a busy machine is slow
        if secured:
            sink["tls"] = {"ca_cert": pki.path("ca.pem")}
        whole, torn, untouched = at_once(sink, "whole", LARGE, "untouched", loop=loop)
        server.ended.wait_for()
    assert len(server.connections.items) == 1
    assert whole == HANDED_OFF
    broken = torn.failure()
    assert isinstance(broken, OutcomeUnknown)
    reason = broken.reason.strip("()")
    assert reason in {"Connection reset by peer", "Broken pipe"}
    assert broken == OutcomeUnknown(server.address, f"({reason})", TIME_NS)
    assert untouched == Failure(Unreachable(f"TCP write to {server.address}", reason))


def test_a_torn_write_is_not_kept() -> None:
    """After a torn event the next one starts on a connection of its own."""
    with faulty(read_some_and_reset, read_all) as server:
        torn, whole = deliver(
            log_event(to(server.address), LARGE), log_event(to(server.address), "whole")
        )
        assert isinstance(torn.failure(), OutcomeUnknown)
        assert whole == HANDED_OFF
        server.ended.wait_for(2)
        assert server.received.items[-1] == json_line("whole")


@both_loops
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("ending", [Peer.close, Peer.reset], ids=["close", "reset"])
def test_a_peer_that_hangs_up_before_the_write(
    ending: Script,
    secured: bool,
    loop: NewLoop,
    pki: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer, or a proxy before it, that accepts only to hang up, is never a yes."""
    really_open = streams._open

    async def open_slowly(*args: Any) -> Connection:
        stream = await really_open(*args)
        await asyncio.to_thread(server.ended.wait_for)
        return stream

    monkeypatch.setattr(streams, "_open", open_slowly)
    with faulty(ending, tls=pki.server() if secured else None) as server:
        sink = to(server.address, **({"tls": {"ca_cert": pki.path("ca.pem")}} if secured else {}))
        [delivered] = deliver(log_event(sink), loop=loop)
        expected: list[Problem] = [
            OutcomeUnknown(server.address, "(Connection reset by peer)", TIME_NS)
        ]
        if secured:  # the server is heard out
            reason = "the peer hung up after the TLS handshake"
            expected = [Unreachable(f"TCP connect to {server.address}", reason)]
        if ending is Peer.reset:  # which may be found out sooner or later
            expected += [
                Unreachable(f"TCP {step} to {server.address}", "Connection reset by peer")
                for step in ("connect", "write")
            ]
        assert delivered.failure() in expected


# --- retries -------------------------------------------------------------------------------------


def test_a_retry_after_a_refused_connection(
    deaf: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination that comes up during the wait gets the event with the second try."""

    def come_up(_low: float, _high: float) -> float:
        deaf.listen()
        return 0.0

    monkeypatch.setattr(random, "uniform", come_up)
    event = log_event(to(address_of(deaf), retry=AT_ONCE))
    receipt = Receipt("logs", Confirmed.HANDED_OFF, TIME_NS, 2, 0)
    assert deliver(event) == [Success(receipt)]


def test_retries_come_to_an_end(deaf: socket.socket) -> None:
    """After the last retry the refusal is the answer."""
    event = log_event(to(address_of(deaf), retry=AT_ONCE))
    refused = Unreachable(f"TCP connect to {address_of(deaf)}", "Connection refused")
    assert deliver(event) == [Failure(refused)]


def test_unknown_and_then_delivered() -> None:
    """A torn first try and a whole second one are a delivery, of the same bytes."""
    with faulty(read_some_and_reset, read_all) as server:
        receipt = Receipt("logs", Confirmed.HANDED_OFF, TIME_NS, 2, 0)
        assert deliver(log_event(to(server.address, retry=AT_ONCE), LARGE)) == [Success(receipt)]
        server.ended.wait_for(2)
        received = b"".join(server.received.items)
        assert received[:100_000] == json_line(LARGE)[:100_000]
        assert received.endswith(json_line(LARGE))


def test_unknown_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn first try stays unknown, whatever becomes of the second."""

    def vanish(_low: float, _high: float) -> float:
        monkeypatch.setattr(socket, "getaddrinfo", _nobody)
        return 0.0

    monkeypatch.setattr(random, "uniform", vanish)
    with faulty(read_some_and_reset) as server:
        [unknown] = deliver(log_event(to(server.address, retry=AT_ONCE), LARGE))
        assert isinstance(unknown.failure(), OutcomeUnknown)
        assert len(server.connections.items) == 1


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for this file's servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("pki"))


VERSIONS: Final = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"]
)


@both_loops
@VERSIONS
def test_tls_delivers(loop: NewLoop, version: ssl.TLSVersion, pki: Certificates) -> None:
    """Over TLS the frames are the same, and the connection is kept as well."""
    with faulty(read_all, tls=pki.server(version=version)) as server:
        sink = to(server.address, framing="octet_counting", tls={"ca_cert": pki.path("ca.pem")})
        events = [log_event(sink, str(n)) for n in range(3)]
        assert deliver(*events, loop=loop) == [HANDED_OFF] * 3
        server.ended.wait_for()
        lines = [json_line(str(n))[:-1] for n in range(3)]
        frames = b"".join(b"%d %b" % (len(line), line) for line in lines)
        assert b"".join(server.received.items) == frames
        assert len(server.connections.items) - len(server.turned_away.items) == 1


@VERSIONS
@pytest.mark.parametrize(
    ("setup", "tls", "reason"),
    [
        (
            {},
            {"ca_cert": "stranger-ca.pem"},
            "unable to get local issuer certificate",
        ),
        (
            {"names": ["logs.example.org"]},
            {"ca_cert": "ca.pem"},
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
        ),
        (
            {},
            {"ca_cert": "ca.pem", "server_name": "logs.example.org"},
            "Hostname mismatch, certificate is not valid for 'logs.example.org'",
        ),
        (
            {"expired": True},
            {"ca_cert": "ca.pem"},
            "certificate has expired",
        ),
    ],
    ids=["unknown_ca", "wrong_address", "wrong_name", "expired"],
)
def test_a_server_that_cannot_be_trusted(
    version: ssl.TLSVersion,
    setup: Mapping[str, Any],
    tls: Mapping[str, str],
    reason: str,
    pki: Certificates,
) -> None:
    """A certificate that does not prove the server is a no, and nothing is sent."""
    context = pki.server(
        *setup.get("names", ()), version=version, expired=setup.get("expired", False)
    )
    options = {**tls, "ca_cert": pki.path(tls["ca_cert"])}
    with faulty(read_all, tls=context) as server:
        full = f"certificate verification failed: {reason}"
        refused = Unreachable(f"TCP connect to {server.address}", full)
        assert deliver(log_event(to(server.address, tls=options))) == [Failure(refused)]
    assert server.received.items == []


@both_loops
@VERSIONS
@pytest.mark.parametrize("shows", ["nothing", "stranger"])
def test_a_client_that_is_turned_away(
    loop: NewLoop, version: ssl.TLSVersion, shows: str, pki: Certificates
) -> None:
    """A server that wants another client certificate is a no, also if it says so late (TLS 1.3)."""
    tls = {"ca_cert": pki.path("ca.pem")}
    if shows != "nothing":
        tls["client_cert"] = pki.path(f"{shows}.pem")
        tls["client_key"] = pki.path(f"{shows}.key")
    with faulty(read_all, tls=pki.server(version=version, wants_client=True)) as server:
        [refused] = deliver(log_event(to(server.address, tls=tls)), loop=loop)
        problem = refused.failure()
        assert isinstance(problem, Unreachable)
        assert problem.attempt == f"TCP connect to {server.address}"
        assert problem.reason.startswith("TLS: ")
        assert "alert" in problem.reason
    assert server.received.items == []


@both_loops
@VERSIONS
@pytest.mark.parametrize("split", [True, False], ids=["two_files", "one_file"])
def test_a_client_certificate_is_shown(
    loop: NewLoop, version: ssl.TLSVersion, split: bool, pki: Certificates
) -> None:
    """A server that wants a client certificate accepts ours, from one file or from two."""
    tls = {"ca_cert": pki.path("ca.pem"), "client_cert": pki.path("client-both.pem")}
    if split:
        tls |= {"client_cert": pki.path("client.pem"), "client_key": pki.path("client.key")}
    with faulty(read_all, tls=pki.server(version=version, wants_client=True)) as server:
        assert deliver(log_event(to(server.address, tls=tls)), loop=loop) == [HANDED_OFF]
        assert server.received.wait_for_bytes(len(json_line())) == json_line()


@VERSIONS
def test_server_name_is_asked_for_and_verified(version: ssl.TLSVersion, pki: Certificates) -> None:
    """With `server_name` the server is asked for by that name, and must prove it."""
    context = pki.server("logs.example.org", version=version)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with faulty(read_all, tls=context) as server:
        tls = {"ca_cert": pki.path("ca.pem"), "server_name": "logs.example.org."}
        assert deliver(log_event(to(server.address, tls=tls))) == [HANDED_OFF]
        assert server.received.wait_for_bytes(len(json_line())) == json_line()
    assert set(asked) == {"logs.example.org"}


@both_loops
def test_a_server_without_tls(loop: NewLoop, pki: Certificates) -> None:
    """A server that answers a handshake in clear is a no."""

    def answer_in_clear(peer: Peer) -> None:
        peer.read()
        peer.send(b"220 welcome\r\n")
        peer.read_all()

    with faulty(answer_in_clear) as server:
        tls = {"ca_cert": pki.path("ca.pem")}
        refused = Unreachable(f"TCP connect to {server.address}", "TLS: wrong version number")
        assert deliver(log_event(to(server.address, tls=tls)), loop=loop) == [Failure(refused)]


@both_loops
def test_a_handshake_that_is_cut_off(loop: NewLoop, pki: Certificates) -> None:
    """A server that hangs up in the middle of the handshake is a no."""
    with faulty(read_one_and_close) as server:
        tls = {"ca_cert": pki.path("ca.pem")}
        cut_off = Unreachable(f"TCP connect to {server.address}", "the peer hung up")
        assert deliver(log_event(to(server.address, tls=tls)), loop=loop) == [Failure(cut_off)]


def test_a_goodbye_with_the_handshake(pki: Certificates) -> None:
    """A server that ends the session with its last word of the handshake is a no."""

    def shake_hands_and_say_goodbye(peer: Peer) -> None:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        peer.sock = secured = context.wrap_socket(peer.sock, server_side=True)
        secured.settimeout(0.1)
        with suppress(TimeoutError):
            secured.unwrap()
        peer.hang()

    context = pki.server(version=ssl.TLSVersion.TLSv1_2)
    with faulty(shake_hands_and_say_goodbye) as server:
        sink = to(server.address, tls={"ca_cert": pki.path("ca.pem")})
        gone = Unreachable(f"TCP connect to {server.address}", "the peer hung up")
        assert deliver(log_event(sink)) == [Failure(gone)]


@both_loops
def test_a_handshake_that_hangs(loop: NewLoop, pki: Certificates) -> None:
    """A handshake that the deadline ends has sent nothing of the event."""
    with faulty(Peer.hang) as server:
        sink = to(server.address, tls={"ca_cert": pki.path("ca.pem")}, timeout="300ms")
        too_slow = Unreachable(f"TCP connect to {server.address}", "timed out after 0.3s")
        assert deliver(log_event(sink), loop=loop) == [Failure(too_slow)]


def test_the_goodbye_of_an_idle_tls_peer(pki: Certificates) -> None:
    """A peer that says goodbye on an idle TLS connection, but leaves it open, costs no event."""

    def say_goodbye(peer: Peer) -> None:
        peer.read()
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.sock.settimeout(0.1)
        with suppress(TimeoutError):
            peer.sock.unwrap()
        said_goodbye.set()
        peer.hang()

    async def two(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(sink, "first"))
        await asyncio.to_thread(said_goodbye.wait, PATIENCE_S)
        return [first, await outcome(pipeline, log_event(sink, "second"))]

    said_goodbye = threading.Event()
    with faulty(say_goodbye, read_all, tls=pki.server()) as server:
        sink = to(server.address, tls={"ca_cert": pki.path("ca.pem")})
        assert run(two) == [HANDED_OFF, HANDED_OFF]
        lines = server.received.wait_for(2)
        assert lines == [json_line("first"), json_line("second")]


def test_a_torn_histogram_is_unknown() -> None:
    """Some of its lines have arrived, maybe all: it is neither delivered nor sent again."""
    buckets = list(range(1, 1001))
    document = {
        "signal_type": "histogram",
        "name": "h",
        "rate": 1000,
        "count": 1,
        "distribution": {"type": "uniform", "min": 0, "max": 1000},
        "buckets": buckets,
        "labels": {"long": LARGE[:5000]},
    }
    with faulty(read_some_and_reset, read_all) as server:
        entry = {**document, "sink": to(server.address)}
        report = run_scenario(load_scenario(entry).unwrap()).unwrap()
        server.ended.wait_for()
    assert (report.ledger.unknown, report.ledger.due) == (1, 1)
    assert len(server.connections.items) == 1
    received = b"".join(server.received.items)
    assert received.count(b"\n") < len(buckets)
    with faulty(read_all) as server:
        entry = {**document, "sink": to(server.address)}
        report = run_scenario(load_scenario(entry).unwrap()).unwrap()
        server.ended.wait_for()
    assert report.ledger.delivered == 1
    assert b"".join(server.received.items).count(b"\n") == len(buckets) + 3
