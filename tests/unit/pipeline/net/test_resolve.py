"""What a sink that connects asks first: may it, and to which addresses."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import cast

import pytest
from returns.result import Failure, Success

from sonda.pipeline.net import resolve as module
from sonda.pipeline.net.resolve import DestinationNotAllowed, Resolver, listening_on
from sonda.pipeline.policy.destinations import Ip, Policy
from sonda.pipeline.problems import Forbidden
from sonda.pipeline.values.addresses import Address


class OnlyNet:
    """Allows 192.0.2.0/24, and refuses one name as it is written."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def judge_written(self, sink: str, target: Address) -> Forbidden | None:
        self.asked.append(target.host)
        return Forbidden(f"{target.host} is not allowed") if target.host == "evil" else None

    def judge(self, sink: str, target: Address, found: Ip) -> Forbidden | None:
        return None if str(found).startswith("192.0.2.") else Forbidden(f"{found} is not allowed")


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve two names, one of which leads home as well."""
    known = {"good": ["192.0.2.1"], "mixed": ["192.0.2.1", "127.0.0.1"]}

    async def look_up(host: str, port: int, kind: socket.SocketKind) -> list[object]:
        hosts = known.get(host, [host])
        return [(socket.AF_INET, kind, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(module, "resolve", look_up)


def find(host: str, policy: OnlyNet | None) -> list[str]:
    async def main() -> list[str]:
        destinations = Resolver(cast("Policy | None", policy))
        found = await destinations.find("tcp", Address(host, 80), socket.SOCK_STREAM)
        await destinations.aclose()
        return [each[4][0] for each in found]

    return asyncio.run(main())


def test_without_a_policy_all_is_allowed() -> None:
    """As for the library's user."""
    assert find("mixed", None) == ["192.0.2.1", "127.0.0.1"]
    assert Resolver(None).permit("tcp", Address("evil", 1)) == Success(Address("evil", 1))


def test_each_address_of_a_name_is_judged() -> None:
    """One that is not allowed is enough: the resolver may put it first the next time."""
    assert find("good", OnlyNet()) == ["192.0.2.1"]
    with pytest.raises(DestinationNotAllowed, match=r"127\.0\.0\.1 is not allowed"):
        find("mixed", OnlyNet())
    with pytest.raises(DestinationNotAllowed, match=r"10\.0\.0\.1 is not allowed"):
        find("10.0.0.1", OnlyNet())


def test_what_is_written_is_judged_once() -> None:
    """The verdict is kept; a name that is refused is not looked up."""
    policy = OnlyNet()
    destinations = Resolver(cast("Policy | None", policy))
    for _ in range(3):
        assert destinations.permit("tcp", Address("evil", 1)) == Failure(
            Forbidden("evil is not allowed")
        )
    assert policy.asked == ["evil"]


@pytest.mark.parametrize(
    ("listening", "ip", "port", "is_own"),
    [
        ("192.0.2.7", "192.0.2.7", 8080, True),
        ("192.0.2.7", "192.0.2.7", 8081, False),
        ("192.0.2.7", "192.0.2.8", 8080, False),
        ("0.0.0.0", "127.0.0.1", 8080, True),  # noqa: S104  # what a server is told to listen on
        ("0.0.0.0", "127.0.0.1", 1, False),  # noqa: S104
        ("::", "::1", 8080, True),
    ],
)
def test_a_servers_own_addresses(listening: str, ip: str, port: int, is_own: bool) -> None:
    """All of this machine's, where it listens on all."""
    assert listening_on([Address(listening, 8080)])(ip_address(ip), port) is is_own
