"""Which destinations a server's callers may reach: the operator's rules, and the verdict on one.

Pure: names are looked up elsewhere (`net/resolve.py`), and each address that a name has
is judged here. A rule is `[SINK=]HOST[:PORT]`; its host is

- a name, `*.suffix` (not the suffix itself) or `*`: matches what the client wrote;
- an address or a network in CIDR notation, with brackets around IPv6 before a port: matches what
  the client's host resolves to.

Without rules everything may be reached but what is never right; with rules, what one of them
matches. What is never right stays refused under a name and under a network that merely contains
it, for a name is whatever its DNS says: only a rule for just that address, or for a part of just
that range, opens it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, Final, NamedTuple, TypeAlias

from sonda.pipeline.problems import Forbidden
from sonda.pipeline.values.addresses import Address, check_host, check_port, literal

Ip: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_PLACE: Final = re.compile(
    r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:]+|[^\[\]:]*:[^\[\]]*:[^\[\]]*))(?::([0-9]{1,5}))?"
)
_NETWORK: Final = re.compile(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?")
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:0[xX][0-9A-Fa-f]*|[0-9]+)\.?")
_OWN: Final = "where Sonda itself listens"


class _Never(NamedTuple):
    """A range that nobody has a reason to send events to."""

    network: Network
    what: str


def _ranges(what: str, *networks: str) -> Iterator[_Never]:
    return (_Never(ip_network(network), what) for network in networks)


_NEVER: Final = (
    *_ranges(
        "a cloud's metadata address",
        "169.254.169.254",
        "169.254.170.2",  # AWS, credentials of containers
        "169.254.170.23",
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    ),
    *_ranges("a link-local address", "169.254.0.0/16", "fe80::/10"),
    *_ranges("a multicast address", "224.0.0.0/4", "ff00::/8"),
    *_ranges("the broadcast address", "255.255.255.255"),
    *_ranges("an unspecified address", "0.0.0.0/8", "::"),
)
_UNSPECIFIED: Final = IPv4Network("0.0.0.0/8")
_LOW_32_BITS: Final = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # IPv4-compatible
            "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
            "64:ff9b::/96",  # NAT64, RFC 6052
            "64:ff9b:1::/48",  # NAT64 of one's own, RFC 8215
        ),
    )
)
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_FIRST_BYTES: Final = (6, 7, 8)  # of an address behind a prefix of 48, 56 or 64 bits
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1


@dataclass(frozen=True, slots=True)
class Rule:
    """A set of destinations, by *name* or by *network*; without *sink* and *port* for any of them."""

    name: str = ""
    network: Network | None = None
    port: int | None = None
    sink: str | None = None

    def concerns(self, sink: str, port: int) -> bool:
        """Return whether the rule applies to this kind of sink and to this port."""
        return self.sink in (None, sink) and self.port in (None, port)

    def knows(self, host: str) -> bool:
        """Return whether it allows *host* by what the client wrote."""
        written = host.removesuffix(".").lower()
        if self.name.startswith("*."):
            return written.endswith(self.name[1:]) and len(written) >= len(self.name)
        return self.name in ("*", written)

    def holds(self, ip: Ip) -> bool:
        """Return whether it allows *ip* by what the host resolves to."""
        return self.network is not None and ip in self.network

    def lies_in(self, network: Network) -> bool:
        """Return whether it covers *network*, or a part of it, and nothing else."""
        ours = self.network
        if isinstance(ours, IPv4Network) and isinstance(network, IPv4Network):
            return ours.subnet_of(network)
        if isinstance(ours, IPv6Network) and isinstance(network, IPv6Network):
            return ours.subnet_of(network)
        return False


def parse_rule(text: str, sinks: Collection[str]) -> Rule:
    """Read a rule for one of *sinks*, or for them all; raises `ValueError` with the reason."""
    sink, separated, place = text.rpartition("=")
    if separated and sink not in sinks:
        raise ValueError(f"expected one of {', '.join(sorted(sinks))} before the =")
    match = _PLACE.fullmatch(place)
    if match is None:
        raise ValueError("expected a host, an IPv6 address in brackets if a port follows")
    bracketed, host, port = match.groups()
    return Rule(
        **_pattern(bracketed or host),
        port=check_port(int(port)) if port else None,
        sink=sink or None,
    )


def _pattern(host: str) -> dict[str, Any]:
    if ":" in host or "/" in host or literal(host) is not None:
        return {"network": _parse_network(host)}
    suffix = host.removeprefix("*.")
    if host != "*":
        check_host(suffix)
    if host != suffix and _NUMERIC.fullmatch(suffix):
        raise ValueError("a *. stands before a name: write addresses as a network")
    return {"name": host.removesuffix(".").lower()}


def _parse_network(text: str) -> Network:
    if not _NETWORK.fullmatch(text):
        raise ValueError("expected an address, or a network such as 10.0.0.0/8 or [fd00::/8]")
    network = ip_network(text)  # its words fit; host bits must not be set
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        low_32_bits = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((low_32_bits, network.prefixlen - _MAPPED.prefixlen))
    return network


def listens_nowhere(_ip: Ip, _port: int) -> bool:
    """Return false: such a program listens on no address of its own."""
    return False


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's rules, and where Sonda itself listens (*is_own*)."""

    rules: tuple[Rule, ...] = ()
    is_own: Callable[[Ip, int], bool] = listens_nowhere

    def judge_written(self, sink: str, target: Address) -> Forbidden | None:
        """Judge what needs no look-up: addresses, and names that no rule could allow."""
        ip = literal(target.host)
        if ip is not None:
            return self.judge(sink, target, ip)
        if not self.rules or any(
            rule.network is not None or rule.knows(target.host)
            for rule in self._concerned(sink, target)
        ):
            return None
        return _not_allowed(target)

    def judge(self, sink: str, target: Address, ip: Ip) -> Forbidden | None:
        """Judge one of the addresses that the host of *target* resolves to."""
        ip = plain(ip)
        concerned = list(self._concerned(sink, target))
        never = self._never(ip, target.port)
        if never is not None:
            if any(rule.holds(ip) and _opens(rule, never) for rule in concerned):
                return None
            return _never_right(target, ip, never)
        if not self.rules or any(rule.knows(target.host) or rule.holds(ip) for rule in concerned):
            return None
        return _not_allowed(target)

    def _concerned(self, sink: str, target: Address) -> Iterator[Rule]:
        return (rule for rule in self.rules if rule.concerns(sink, target.port))

    def _never(self, ip: Ip, port: int) -> _Never | None:
        """Return what is never right about an address, or about one that it holds."""
        for reached in (ip, *_embedded(ip)):
            own = _Never(ip_network(ip), _OWN) if self.is_own(reached, port) else None
            found = own or next((never for never in _NEVER if reached in never.network), None)
            if found is not None:
                return found if reached == ip else _Never(ip_network(ip), found.what)
        return None


def _opens(rule: Rule, never: _Never) -> bool:
    """Return whether a rule names what is never right; where Sonda listens, with the port."""
    return rule.lies_in(never.network) and (never.what != _OWN or rule.port is not None)


def plain(ip: Ip) -> Ip:
    """Write an IPv4-mapped address as what is connected to; leave out an interface."""
    if isinstance(ip, IPv4Address):
        return ip
    return ip.ipv4_mapped or IPv6Address(int(ip))


def _embedded(ip: Ip) -> Iterator[IPv4Address]:
    """Return the IPv4 addresses that a gateway or a tunnel may take an IPv6 address for."""
    if isinstance(ip, IPv6Address):
        held = [four for four in _candidates(ip) if four not in _UNSPECIFIED]
        yield from held


def _candidates(ip: IPv6Address) -> Iterator[IPv4Address]:
    low = int(ip) & 0xFFFFFFFFFFFFFFFF
    if any(ip in network for network in _LOW_32_BITS) or low >> 32 in _ISATAP:
        yield IPv4Address(low & 0xFFFFFFFF)
    if ip in _LOCAL_NAT64:
        without_u = ip.packed[:8] + ip.packed[9:]  # RFC 6052, section 2.2
        for first in _FIRST_BYTES:
            yield IPv4Address(without_u[first : first + 4])
    if ip.sixtofour is not None:
        yield ip.sixtofour
    yield from ip.teredo or ()


def _never_right(target: Address, ip: Ip, never: _Never) -> Forbidden:
    shown = "" if target.host == str(ip) else f" ({ip})"
    return Forbidden(
        f"destination {target}{shown} is {never.what}", _remedy(Address(str(ip), target.port))
    )


def _not_allowed(target: Address) -> Forbidden:
    ip = literal(target.host)
    named = Address(str(plain(ip)), target.port) if ip is not None else target
    return Forbidden(f"destination {target} is none that a rule allows", _remedy(named))


def _remedy(named: Address) -> str:
    return f"sonda-server --allow-destination {named} would allow it"
