"""Which addresses a server connects to: looked up once, judged, and no others."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from returns.result import Failure, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.resolve import Resolver, listening_on
from sonda.pipeline.policy.destinations import Policy, parse_rule
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.values.addresses import Address
from tests.support.bodies import METRIC, changed
from tests.support.destinations import (
    TIME_NS,
    NewLoop,
    Outcome,
    both_loops,
    deliver,
    http_destination,
    json_line,
    log_event,
    outcome,
    run,
    udp_destination,
)
from tests.support.extras import is_usable
from tests.support.faulty import Certificates, Peer, answering, faulty, make_certificates, serving

NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
BUSY: Final = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
METADATA: Final = "169.254.169.254"
HOME: Final = "127.0.0.1"
SINKS: Final = ("http_push", "loki", "tcp", "udp")
EXTRAS: Final = ("remote_write", "otlp_grpc", "kafka")
ALL_SINKS: Final = (*SINKS, *(sink for sink in EXTRAS if is_usable("sink", sink)))
RETRY: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}

Answers: TypeAlias = list[list[str] | OSError]


class FakeResolver:
    """Answers each look-up of a name with the next of its answers, and the last one ever after."""

    def __init__(self) -> None:
        self.answers: dict[str, Answers] = {}
        self.asked: Counter[str] = Counter()
        self._real = socket.getaddrinfo

    def __call__(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        if options.get("flags") == socket.AI_NUMERICHOST:  # asks nobody
            return self._real(host, port, *args, **options)
        self.asked[host] += 1
        answers = self.answers[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        options["flags"] = socket.AI_NUMERICHOST
        return [found for ip in answer for found in self._real(ip, port, *args, **options)]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    """A resolver that knows what the test tells it, and nothing else."""
    made = FakeResolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for this file's servers."""
    return make_certificates(tmp_path_factory.mktemp("pki"))


def confined(tmp_path: Path, *rules: str, own: Iterable[Address] = ()) -> AccessPolicy:
    """Confine a pipeline as `sonda-server` would."""
    read = tuple(parse_rule(rule, (*SINKS, *EXTRAS)) for rule in rules)
    return AccessPolicy(tmp_path, tmp_path, Policy(read, listening_on(own)))


def to(sink: str, host: str, port: int, **options: Any) -> dict[str, Any]:
    """Write an event for *sink*."""
    target = f"{host}:{port}"
    match sink:
        case "tcp" | "udp":
            return log_event({"type": sink, "address": target, **options})
        case "otlp_grpc":
            place = {"endpoint": f"http://{target}", "signal_type": "logs"}
            return log_event({"type": sink, **place, **options}, encoder="otlp")
        case "kafka":
            return log_event({"type": sink, "brokers": target, "topic": "t", **options})
        case "remote_write":
            place = {"type": sink, "url": f"http://{target}", **options}
            return changed(METRIC, encoder={"type": "remote_write"}, sink=place)
        case _:
            return log_event({"type": sink, "url": f"http://{target}", **options})


def never_right(host: str, port: int, ip: str, what: str) -> Failure[Problem]:
    """Expect an address to be refused without any rule."""
    named, shown = Address(ip, port), "" if host.strip("[]") == ip else f" ({ip})"
    return Failure(
        Forbidden(
            f"destination {host}:{port}{shown} is {what}",
            f"sonda-server --allow-destination {named} would allow it",
        )
    )


def no_rule(host: str, port: int) -> Failure[Problem]:
    """Expect a destination to be refused because no rule fits."""
    return Failure(
        Forbidden(
            f"destination {host}:{port} is none that a rule allows",
            f"sonda-server --allow-destination {host}:{port} would allow it",
        )
    )


# --- what is looked up is judged -----------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("sink", ALL_SINKS)
@pytest.mark.parametrize(
    ("ip", "what"),
    [
        (METADATA, "a cloud's metadata address"),
        ("fe80::1", "a link-local address"),
        ("::ffff:0:a9fe:a9fe", "a cloud's metadata address"),
        ("0.0.0.0", "an unspecified address"),  # noqa: S104  # it leads to this machine
    ],
)
@pytest.mark.parametrize("fine_ones", ["none", "before", "after"])
def test_one_refused_address_is_enough(
    sink: str,
    ip: str,
    what: str,
    fine_ones: str,
    loop: NewLoop,
    resolver: FakeResolver,
    tmp_path: Path,
) -> None:
    """Nobody is connected to if any of a name's addresses is refused, wherever it stands."""
    with faulty(Peer.read_all) as server, udp_destination() as datagrams:
        port = server.port if sink != "udp" else int(datagrams.address.rpartition(":")[2])
        fine = [] if fine_ones == "none" else [HOME]
        resolver.answers["x.example"] = [[*fine, ip] if fine_ones == "before" else [ip, *fine]]
        event = to(sink, "x.example", port)
        [delivered] = deliver(event, loop=loop, access_policy=confined(tmp_path))
        assert delivered == never_right("x.example", port, ip, what)
        assert server.connections.items == datagrams.received.items == []
    assert resolver.asked == {"x.example": 1}


@pytest.mark.parametrize("sink", ALL_SINKS)
@pytest.mark.parametrize("host", [METADATA, "2852039166", "0xa9fea9fe", "0251.0376.43518"])
def test_addresses_are_judged_in_every_spelling(
    sink: str, host: str, resolver: FakeResolver, tmp_path: Path
) -> None:
    """An address that somebody wrote is judged as the resolver reads it."""
    [delivered] = deliver(to(sink, host, 80), access_policy=confined(tmp_path))
    expected = never_right(host, 80, METADATA, "a cloud's metadata address")
    assert delivered == expected


@pytest.mark.parametrize("sink", SINKS)
def test_rules_are_for_servers(sink: str, tmp_path: Path) -> None:
    """A library's user may send wherever they can: 0.0.0.0 leads to this machine."""
    with faulty(serving(NO_CONTENT)) as server:
        event = to(sink, "0.0.0.0", server.port)  # noqa: S104
        what = "an unspecified address"
        refused = never_right("0.0.0.0", server.port, "0.0.0.0", what)  # noqa: S104
        assert deliver(event, access_policy=confined(tmp_path)) == [refused]
        assert server.connections.items == []
        assert isinstance(deliver(event)[0], Success) or sink == "udp"


@pytest.mark.parametrize("sink", ALL_SINKS)
def test_rules_decide(sink: str, resolver: FakeResolver, tmp_path: Path) -> None:
    """A name is allowed by its name or by its address; what nobody allows is not connected to."""
    resolver.answers["x.example"] = [[HOME]]
    speaks_http = sink not in ("otlp_grpc", "kafka")
    script = serving(NO_CONTENT) if speaks_http else Peer.close
    with faulty(script) as server, udp_destination() as datagrams:
        port = server.port if sink != "udp" else int(datagrams.address.rpartition(":")[2])
        event = to(sink, "x.example", port)
        for rule in ("y.example", "10.0.0.0/8", "127.0.0.1:1", "*.x.example", "localhost"):
            refused = deliver(event, access_policy=confined(tmp_path, rule))
            assert refused == [no_rule("x.example", port)]
        other = next(name for name in SINKS if name != sink)
        refused = deliver(event, access_policy=confined(tmp_path, f"{other}=x.example"))
        assert refused == [no_rule("x.example", port)]
        assert server.connections.items == datagrams.received.items == []
        for rule in ("X.example", "*.example", f"{sink}=127.0.0.0/8:{port}", "*"):
            [delivered] = deliver(event, access_policy=confined(tmp_path, "y.example", rule))
            if speaks_http:
                assert isinstance(delivered, Success)
            else:
                assert server.connections.wait_for()
                assert not isinstance(delivered.failure(), Forbidden)


# --- what does not resolve -----------------------------------------------------------------------


@pytest.mark.parametrize("sink", ALL_SINKS)
@pytest.mark.parametrize("rules", [(), ("x.example",), ("*",), ("127.0.0.1",)])
@pytest.mark.parametrize(
    "failure",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError(5, "Input/output error"),
    ],
)
def test_a_failed_look_up_opens_nothing(
    sink: str, rules: tuple[str, ...], failure: OSError, resolver: FakeResolver, tmp_path: Path
) -> None:
    """A name that does not resolve is the failure that it is without a policy: nobody is asked."""
    resolver.answers["x.example"] = [failure, [HOME]]
    with faulty(Peer.read_all) as server:
        event = to(sink, "x.example", server.port)
        [refused] = deliver(event, access_policy=confined(tmp_path, *rules))
        assert server.connections.items == []
    resolver.answers["x.example"] = [failure]
    assert deliver(event) == [refused]
    assert isinstance(refused.failure(), Unreachable)


def test_foreign_names_are_not_looked_up(resolver: FakeResolver, tmp_path: Path) -> None:
    """With rules for names alone no caller has Sonda ask the DNS for a name of theirs."""
    event = to("tcp", "secret.evil.example", 80)
    refused = deliver(event, access_policy=confined(tmp_path, "loki", "udp=10.0.0.1"))
    assert refused == [no_rule("secret.evil.example", 80)]
    assert resolver.asked == {}


def test_verdicts_are_remembered_within_bounds() -> None:
    """A flood of destinations takes no memory."""
    destinations = Resolver(Policy())
    for number in range(5000):
        destinations.permit("tcp", Address(f"x{number}.example", 80))
    assert len(destinations._judged) <= 1024


# --- one look-up ---------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("sink", ["http_push", "loki", "tcp"])
def test_a_second_look_up_cannot_answer_otherwise(
    sink: str, loop: NewLoop, resolver: FakeResolver, tmp_path: Path
) -> None:
    """The address that was judged is connected to, and a kept connection is not looked up again."""
    resolver.answers["x.example"] = [[HOME], [METADATA]]

    async def many(pipeline: Pipeline) -> list[Outcome]:
        return [await outcome(pipeline, to(sink, "x.example", server.port)) for _ in range(5)]

    with faulty(serving(NO_CONTENT)) as server:
        access_policy = confined(tmp_path, "x.example")
        delivered = run(many, loop=loop, access_policy=access_policy)
        assert all(isinstance(each, Success) for each in delivered)
        assert len(server.connections.wait_for()) == 1
    assert resolver.asked == {"x.example": 1}


def test_each_datagram_is_judged(resolver: FakeResolver, tmp_path: Path) -> None:
    """Where no connection is kept, each event is looked up, once, and judged."""
    with udp_destination() as destination:
        port = int(destination.address.rpartition(":")[2])
        resolver.answers["x.example"] = [[HOME], [METADATA]]
        first, second = deliver(
            *[to("udp", "x.example", port)] * 2, access_policy=confined(tmp_path)
        )
        assert isinstance(first, Success)
        assert second == never_right("x.example", port, METADATA, "a cloud's metadata address")
        assert destination.received.wait_for() == [json_line()]
    assert resolver.asked == {"x.example": 2}


def test_a_connection_is_kept_for_its_kind_of_sink(tmp_path: Path) -> None:
    """A connection that one kind of sink was allowed is not lent to another kind."""
    with http_destination() as destination:
        events = [
            log_event({"type": "loki", "url": destination.url}),
            log_event(
                {
                    "type": "http_push",
                    "url": destination.url,
                    "content_type": "application/json",
                }
            ),
        ]
        allowed, refused = deliver(*events, access_policy=confined(tmp_path, "loki=127.0.0.1"))
        assert isinstance(allowed, Success)
        host, _, port = destination.url.removeprefix("http://").partition(":")
        assert refused == no_rule(host, int(port))
        assert len(destination.posts.items) == 1


# --- an address that is refused later ------------------------------------------------------------


def again(host: str, port: int) -> Failure[Problem]:
    """Expect a refusal that came too late to be one."""
    forbidden = never_right(host, port, METADATA, "a cloud's metadata address").failure()
    return Failure(Unreachable("connect again", str(forbidden)))


def test_refused_after_an_answer(resolver: FakeResolver, tmp_path: Path) -> None:
    """Once the destination has had the event, a refused address is a failure like another: 502."""
    resolver.answers["x.example"] = [[HOME], [METADATA]]
    with faulty(answering(BUSY)) as server:
        event = to("http_push", "x.example", server.port, retry=RETRY)
        assert deliver(event, access_policy=confined(tmp_path)) == [again("x.example", server.port)]


@pytest.mark.parametrize("sink", ["http_push", "tcp"])
def test_refused_after_a_handshake(
    sink: str, resolver: FakeResolver, pki: Certificates, tmp_path: Path
) -> None:
    """A connection that broke before the event was written has still been one: 502."""
    resolver.answers["x.example"] = [[HOME], [METADATA]]
    with faulty(Peer.read_all, tls=pki.server()) as server:
        event = to(sink, "x.example", server.port, retry=RETRY, tls={})
        if sink == "http_push":
            event["sink"]["url"] = event["sink"]["url"].replace("http:", "https:")
        assert deliver(event, access_policy=confined(tmp_path)) == [again("x.example", server.port)]


def test_refused_after_bytes_had_left(resolver: FakeResolver, tmp_path: Path) -> None:
    """What may have arrived stays unknown: 504."""
    resolver.answers["x.example"] = [[HOME], [METADATA]]
    with faulty(answering(then=Peer.reset)) as server:
        event = to("http_push", "x.example", server.port, retry=RETRY)
        unknown = OutcomeUnknown(
            f"http://x.example:{server.port}",
            "(Connection reset by peer; if it speaks TLS, try https://)",
            TIME_NS,
        )
        assert deliver(event, access_policy=confined(tmp_path)) == [Failure(unknown)]


@pytest.mark.parametrize("sink", ["http_push", "tcp"])
def test_refused_after_nobody_was_reached(
    sink: str, resolver: FakeResolver, tmp_path: Path
) -> None:
    """As long as nobody was connected to, a refused address is 403."""
    resolver.answers["x.example"] = [[HOME], [METADATA]]
    event = to(sink, "x.example", 1, retry=RETRY)
    expected = never_right("x.example", 1, METADATA, "a cloud's metadata address")
    assert deliver(event, access_policy=confined(tmp_path)) == [expected]
    assert resolver.asked == {"x.example": 2}


# --- the order of checks -------------------------------------------------------------------------


def test_a_refusal_comes_before_all_other_failures(tmp_path: Path) -> None:
    """An address is refused before TLS files are read, and before a datagram is measured."""
    expected = never_right(METADATA, 80, METADATA, "a cloud's metadata address")
    tls = {"ca_cert": "missing.pem"}
    events = [
        to("tcp", METADATA, 80, tls=tls),
        log_event({"type": "http_push", "url": f"https://{METADATA}:80", "tls": tls}),
        log_event({"type": "udp", "address": f"{METADATA}:80"}, "x" * 70_000),
    ]
    assert deliver(*events, access_policy=confined(tmp_path)) == [expected] * 3


# --- where Sonda itself listens ------------------------------------------------------------------


def test_own_addresses() -> None:
    """A server that listens everywhere has every address of its machine, and no other's."""
    exact = listening_on([Address("127.0.0.1", 80), Address("::1", 80)])
    assert [exact(ip_address(ip), 80) for ip in ("127.0.0.1", "::1", "127.0.0.2", "10.1.1.1")] == [
        True,
        True,
        False,
        False,
    ]
    assert not exact(ip_address("127.0.0.1"), 81)
    for everywhere in ("0.0.0.0", "::"):  # noqa: S104  # where a server in a container listens
        own = listening_on([Address(everywhere, 80)])
        assert own(ip_address("127.0.0.2"), 80)
        assert own(ip_address("::1"), 80)
        assert not own(ip_address("192.0.2.1"), 80)
        assert not own(ip_address("127.0.0.2"), 81)


def test_own_addresses_on_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of one's own on a network is told by the routes: the machine speaks from there."""

    class Probe(socket.socket):
        def connect(self, address: Any, /) -> None:
            self.speaks_from = "10.0.0.5" if address[0].startswith("10.") else "192.168.0.5"

        def getsockname(self) -> Any:
            return (self.speaks_from, 1)

    monkeypatch.setattr(socket, "socket", Probe)
    own = listening_on([Address("0.0.0.0", 80)])  # noqa: S104
    assert own(ip_address("10.0.0.5"), 80)
    assert not own(ip_address("10.0.0.6"), 80)
    assert not own(ip_address("172.16.0.5"), 80)
