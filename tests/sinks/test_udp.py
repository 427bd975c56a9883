"""The `udp` sink: one event, one datagram, and what can be known about it."""

from __future__ import annotations

import socket
from typing import Any, Final

import pytest
from returns.result import Failure, Success

from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.problems import Unreachable
from sonda.pipeline.sinks.udp import LARGEST_DATAGRAM_BYTES
from tests.support.destinations import (
    TIME_NS,
    NewLoop,
    both_loops,
    deliver,
    json_line,
    log_event,
    udp_destination,
)
from tests.support.ports import free_ports

ADVICE: Final = (
    "sink `udp` has no acknowledgement: the event was handed to the network, and nothing tells "
    "whether it arrived"
)
HANDED_OFF: Final = Success(
    Receipt("logs", Confirmed.HANDED_OFF, TIME_NS, 1, 0, warnings=(ADVICE,))
)


def to(address: str, **options: Any) -> dict[str, Any]:
    """Address the `udp` sink."""
    return {"type": "udp", "address": address, **options}


@pytest.fixture
def nobody() -> str:
    """An address where nobody takes datagrams any more."""
    (port,) = free_ports(1, socket.SOCK_DGRAM)
    return f"127.0.0.1:{port}"


@both_loops
def test_one_event_is_one_datagram(loop: NewLoop) -> None:
    """Each event is a datagram of its own, the encoder's bytes as they are."""
    with udp_destination() as destination:
        events = [log_event(to(destination.address), f"number {n}\n ü") for n in range(3)]
        assert deliver(*events, loop=loop) == [HANDED_OFF] * 3
        assert destination.received.wait_for(3) == [json_line(f"number {n}\n ü") for n in range(3)]


def test_a_syslog_datagram_has_no_final_lf() -> None:
    """A syslog message goes without its last LF; LFs of its own stay."""
    with udp_destination() as destination:
        event = log_event(to(destination.address), "two\nlines\n", encoder="syslog")
        assert deliver(event) == [HANDED_OFF]
        [datagram] = destination.received.wait_for()
        assert datagram.endswith(b"- - - two\nlines\n")
        assert datagram.startswith(b"<14>1 2026-11-23T08:00:00.123Z sonda sonda ")


@both_loops
def test_a_refusal_on_this_machine_is_known_at_once(loop: NewLoop, nobody: str) -> None:
    """Where the operating system reports at once that nobody listens, it is a no."""
    refused = Unreachable(f"UDP send to {nobody}", "Connection refused")
    assert deliver(log_event(to(nobody)), loop=loop) == [Failure(refused)]


def test_a_refusal_costs_only_its_own_event(nobody: str) -> None:
    """The event after a refused one is delivered, to the same address and to others."""
    host, _, port = nobody.partition(":")
    with udp_destination() as other:
        before, elsewhere = deliver(log_event(to(nobody)), log_event(to(other.address)))
        assert isinstance(before.failure(), Unreachable)
        assert elsewhere == HANDED_OFF
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.settimeout(5)
        late.bind((host, int(port)))
        assert deliver(log_event(to(nobody))) == [HANDED_OFF]
        assert late.recv(65536) == json_line()


@both_loops
def test_the_largest_datagram(loop: NewLoop) -> None:
    """65,507 bytes go out whole, and one more is a no before anything is sent."""
    room = LARGEST_DATAGRAM_BYTES - len(json_line(""))
    with udp_destination() as destination:
        fits, too_large = deliver(
            log_event(to(destination.address), "x" * room),
            log_event(to(destination.address), "x" * (room + 1)),
            loop=loop,
        )
        assert fits == HANDED_OFF
        reason = "65508 bytes do not fit a datagram of 65507"
        assert too_large == Failure(Unreachable(f"UDP send to {destination.address}", reason))
        assert destination.received.wait_for() == [json_line("x" * room)]


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is told in the resolver's words."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    problem = Unreachable("UDP send to nowhere.invalid:514", "Name or service not known")
    assert deliver(log_event(to("nowhere.invalid:514"))) == [Failure(problem)]


def test_a_name_that_no_resolver_takes() -> None:
    """A name with too long a part has no address; it is no bug of ours."""
    host = "a" * 64 + ".example"
    problem = Unreachable(f"UDP send to {host}:514", "Name or service not known")
    assert deliver(log_event(to(f"{host}:514"))) == [Failure(problem)]


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    """Where a name's first address refuses, the datagram goes to the next."""
    real = socket.getaddrinfo
    with udp_destination() as destination:
        taken = int(destination.address.rpartition(":")[2])

        def two_addresses(host: str, port: int, **options: Any) -> Any:
            if host == "two.example" and not options.get("flags"):
                first = real("127.0.0.1", int(nobody.rpartition(":")[2]), **options)
                return first + real("127.0.0.1", port, **options)
            return real(host, port, **options)

        monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
        assert deliver(log_event(to(f"two.example:{taken}"))) == [HANDED_OFF]
        assert destination.received.wait_for() == [json_line()]


def test_ipv6() -> None:
    """An IPv6 address stands in brackets."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taker:
        try:
            taker.bind(("::1", 0))
        except OSError as exc:
            pytest.skip(f"no IPv6 here: {exc}")
        taker.settimeout(5)
        assert deliver(log_event(to(f"[::1]:{taker.getsockname()[1]}"))) == [HANDED_OFF]
        assert taker.recv(65536) == json_line()


def test_what_the_operating_system_forbids() -> None:
    """A datagram that the operating system does not let out is a no."""
    [forbidden] = deliver(log_event(to("255.255.255.255:9")))
    problem = forbidden.failure()
    assert isinstance(problem, Unreachable)
    assert problem.attempt == "UDP send to 255.255.255.255:9"
