"""Hosts, addresses and URLs as clients write them: read once, without a look-up."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    import httpx

_NAME: Final = re.compile(r"(?=.{1,253}\.?\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)\.?")
_ZONE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ZONE_OF_HOST: Final = re.compile(r"(?<=[0-9A-Fa-f:])%[^\]]*")
_ADDRESS: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_LAST_PORT: Final = 65535
_PORTS: Final = {"http": 80, "https": 443}
_NOT_IN_A_URL: Final = re.compile(r"[\s\\\x00-\x20\x7f]")


class Address(NamedTuple):
    """A host, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_host(host: str) -> str:
    """Give *host* back if it can be a name or an address; raises `ValueError` with the reason."""
    if ":" in host:
        _check_ipv6(host)
    elif not _NAME.fullmatch(host):
        raise ValueError("expected a host name or an IP address")
    return host


def _check_ipv6(text: str) -> str:
    try:
        IPv6Address(text)
    except ValueError:  # whose words quote the text, however long
        raise ValueError("expected an IPv6 address") from None
    _, marked, zone = text.partition("%")
    if marked and not _ZONE.fullmatch(zone):
        raise ValueError("expected the name of a network interface after the %")
    return text


def parse_address(text: str) -> Address:
    """Read `host:port`, an IPv6 address in brackets; raises `ValueError` with the reason."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not any(match.groups()[:2]):
        raise ValueError("expected host:port, with an IPv6 address in brackets")
    bracketed, plain, port = match.groups()
    host = check_host(plain) if bracketed is None else _check_ipv6(bracketed)
    return Address(host, check_port(int(port)))


def parse_http_url(text: str) -> httpx.URL:
    """Read an absolute `http://` or `https://` URL; raises `ValueError` with the reason."""
    import httpx  # costs 0.1 s: only events with a URL pay for it

    if not text.lower().startswith(("http://", "https://")):
        raise ValueError("expected a URL that starts with http:// or https://")
    if _NOT_IN_A_URL.search(text):
        raise ValueError("a URL holds no spaces, control characters or backslashes")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as exc:
        why = str(exc).partition(":")[0]  # what follows may be a piece of a password
        raise ValueError(f"not a URL: {why}") from None
    check_host(url.raw_host.decode("ascii").strip("[]"))
    if url.port is not None:
        check_port(url.port)
    return url


def address_of(url: httpx.URL) -> Address:
    """Return the host and the port that a URL leads to; a zone's `%25` (RFC 6874) is a `%`."""
    host = url.raw_host.decode("ascii").replace("%25", "%", 1)
    return Address(host, url.port or _PORTS[url.scheme])


def without_zone(host: str) -> str:
    """Return a host, or an authority, without the zone of an IPv6 address.

    The zone means something on this machine alone, and is never sent (RFC 6874, section 4).
    """
    return _ZONE_OF_HOST.sub("", host)


def basic_auth(url: httpx.URL) -> str | None:
    """Give what `Authorization` says for the name and password in a URL, if it has any."""
    if not url.userinfo:
        return None
    name, _, password = url.userinfo.partition(b":")
    login = b64encode(unquote_to_bytes(name) + b":" + unquote_to_bytes(password))
    return f"Basic {login.decode('ascii')}"


def check_port(port: int) -> int:
    """Give *port* back if TCP and UDP know it; raises `ValueError` with the reason."""
    if not 1 <= port <= _LAST_PORT:
        raise ValueError("expected a port from 1 to 65535")
    return port


def is_loopback(host: str) -> bool:
    """Tell whether *host*, in any spelling, is this machine's own loopback; looks nothing up."""
    host = host.rstrip(".").lower()
    if host == "localhost":
        return True
    address = literal(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address, old IPv4 spellings such as `127.1` and `0x7f.1` too; `None` for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
