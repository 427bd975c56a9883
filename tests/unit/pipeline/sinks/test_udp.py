"""What a datagram holds, and what never leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net.resolve import Resolver
from sonda.pipeline.problems import Problem, Unreachable
from sonda.pipeline.sinks import udp
from sonda.pipeline.sinks.udp import LARGEST_DATAGRAM_BYTES, Udp, describe, push
from sonda.pipeline.values.addresses import Address
from tests.support.events import record

OPTIONS = Udp(address="192.0.2.1:514")


def payload(body: bytes, encoder: str = "json_lines") -> Payload:
    return Payload(record("a"), encoder, "", body)


def sent(
    monkeypatch: pytest.MonkeyPatch, addresses: list[Any], failures: dict[Any, OSError]
) -> tuple[Result[Ack, Problem], list[Any]]:
    """Send one datagram to a name of these addresses, some of which fail."""
    tried: list[Any] = []

    async def find(self: Resolver, *_: object) -> list[Any]:
        return [(2, None, 17, None, address) for address in addresses]

    def send_once(datagram: bytes, family: int, protocol: int, address: Any) -> None:
        tried.append((datagram, address))
        if address in failures:
            raise failures[address]

    monkeypatch.setattr(Resolver, "find", find)
    monkeypatch.setattr(udp, "_send_once", send_once)

    async def main() -> Result[Ack, Problem]:
        network = Network()
        target = Address("there.example", 514)
        pending = (await push(payload(b"x\n"), target, network, Deadline.within(10))).unwrap()
        assert tried == []  # nothing leaves before flush
        try:
            return await pending()
        finally:
            await network.aclose()

    return asyncio.run(main()), tried


def test_it_is_handed_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the first address that takes it."""
    outcome, tried = sent(
        monkeypatch, ["a", "b", "c"], {"a": OSError(101, "Network is unreachable")}
    )
    assert outcome == Success(Ack(Confirmed.HANDED_OFF))
    assert tried == [(b"x\n", "a"), (b"x\n", "b")]


def test_no_address_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one's refusal is the problem; trying again would change nothing."""
    refused = {"a": OSError(101, "Network is unreachable"), "b": OSError(111, "Connection refused")}
    outcome, _ = sent(monkeypatch, ["a", "b"], refused)
    assert outcome == Failure(
        Unreachable("UDP send to there.example:514", "Connection refused", is_final=True)
    )


def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has left."""
    outcome, tried = sent(monkeypatch, [], {})
    assert (outcome, tried) == (
        Failure(Unreachable("UDP send to there.example:514", "the name has no address")),
        [],
    )


@pytest.mark.parametrize(
    ("encoder", "body", "datagram"),
    [
        ("syslog", b"<14>x\n", b"<14>x"),
        ("syslog", b"a\n\n", b"a\n"),
        ("json_lines", b"{}\n", b"{}\n"),
    ],
)
def test_a_syslog_message_goes_without_its_line_feed(
    encoder: str, body: bytes, datagram: bytes
) -> None:
    """That alone, and only its last one (RFC 5426)."""
    shown = describe(payload(body, encoder), OPTIONS, Network()).unwrap()
    assert shown.body == datagram
    assert ("without its line feed" in shown.framing) is (encoder == "syslog")


@pytest.mark.parametrize(
    ("encoder", "size", "fits"),
    [
        ("json_lines", LARGEST_DATAGRAM_BYTES, True),
        ("json_lines", LARGEST_DATAGRAM_BYTES + 1, False),
        ("syslog", LARGEST_DATAGRAM_BYTES + 1, True),
        ("syslog", LARGEST_DATAGRAM_BYTES + 2, False),
    ],
)
def test_the_largest_datagram(encoder: str, size: int, fits: bool) -> None:
    """What counts is what would be sent; a dry run says the same as a delivery."""
    body = b"x" * (size - 1) + b"\n"
    shown = describe(payload(body, encoder), OPTIONS, Network())
    assert isinstance(shown, Success) is fits
    if not fits:
        assert "do not fit a datagram of 65507" in str(shown.failure())
