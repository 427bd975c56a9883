"""Hosts, addresses and URLs as clients write them: read once, without a look-up."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from sonda.pipeline.values.memoize import memoize

if TYPE_CHECKING:
    import httpx

_NAME: Final = re.compile(r"(?=.{1,253}\.?\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)\.?")
_ZONE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ZONE_OF_HOST: Final = re.compile(r"(?<=[0-9A-Fa-f:])%[^\]]*")
_ADDRESS: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_PORT: Final = (
    r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
_PLAIN_ADDRESS: Final = re.compile(rf"(?=[^:]{{1,253}}:)\w[\w-]*(?:\.[\w-]+)*:{_PORT}", re.ASCII)
_MAYBE_LOOPBACK: Final = re.compile(  # numbers, `localhost` and what stands in brackets
    r"(?<![^,])[ \t\r\n]*(?:[0-9][^,]*|[lL][oO][cC][aA][lL][^,]*|\[[^,]*)"
)
_LONGEST_IPV6: Final = 45  # with an IPv4 address at its end
_LAST_PORT: Final = 65535
_LOOPBACK_NETWORK: Final = 127
_IPV6_LOOPBACK: Final = bytes(15) + b"\x01"
_MAPPED_LOOPBACK: Final = bytes(10) + b"\xff\xff" + bytes([_LOOPBACK_NETWORK])
_PORTS: Final = {"http": 80, "https": 443}
_MOST_ADDRESSES: Final = 1000  # of a list
_LONGEST_TARGET: Final = 65_000  # of a path and query, as sent; httpx takes 65,536 with a suffix
_NOT_IN_A_URL: Final = re.compile(r"[\s\\\x00-\x20\x7f]")


class Address(NamedTuple):
    """A host, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_host(host: str) -> str:
    """Return *host* if it can be a name or an address; raise `ValueError` with the reason."""
    if ":" in host:
        _check_ipv6(host)
    elif not _NAME.fullmatch(host):
        raise ValueError("expected a host name or an IP address")
    return host


def _check_ipv6(text: str) -> str:
    address, marked, zone = text.partition("%")
    if len(address) > _LONGEST_IPV6 or not _is_ipv6(address):
        raise ValueError("expected an IPv6 address")
    if marked and not _ZONE.fullmatch(zone):
        raise ValueError("expected the name of a network interface after the %")
    return text


def _is_ipv6(address: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return False
    return True


def parse_address(text: str) -> Address:
    """Return the address that `host:port` names, an IPv6 one in brackets; raise `ValueError` if none."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not any(match.groups()[:2]):
        raise ValueError("expected host:port, with an IPv6 address in brackets")
    bracketed, plain, port = match.groups()
    host = check_host(plain) if bracketed is None else _check_ipv6(bracketed)
    return Address(host, check_port(int(port)))


def parse_addresses(text: str) -> list[Address]:
    """Return the addresses of a list such as `a:1,b:2`; raise `ValueError` for the first that is none."""
    return [parse_address(listed.strip()) for listed in text.split(",")]


def check_addresses(text: str) -> str:
    """Return *text* if `parse_addresses` can read it, each once; raise `ValueError` if not."""
    if text.count(",") >= _MOST_ADDRESSES:
        raise ValueError(f"expected at most {_MOST_ADDRESSES} addresses")
    for listed in dict.fromkeys(text.split(",")):
        if not _PLAIN_ADDRESS.fullmatch(listed):
            parse_address(listed.strip())
    return text


def loopback_addresses(text: str) -> list[str]:
    """Return those of a list such as `a:1,b:2` that lead to this machine's own loopback, as written."""
    verdicts: dict[str, bool] = {}  # a list may be a megabyte of the same address
    found: list[str] = []
    for match in _MAYBE_LOOPBACK.finditer(text):
        listed = match[0].strip()
        if listed not in verdicts:
            verdicts[listed] = is_loopback(parse_address(listed).host)
        if verdicts[listed]:
            found.append(listed)
    return found


@memoize
def parse_http_url(text: str) -> httpx.URL:
    """Return the absolute `http://` or `https://` URL that *text* is; raise `ValueError` if it is none."""
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError("expected a URL that starts with http:// or https://")
    if _NOT_IN_A_URL.search(text):
        raise ValueError("a URL holds no spaces, control characters or backslashes")
    import httpx  # costs 0.1 s: only events with a URL pay for it

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as exc:
        why = str(exc).partition(":")[0]  # what follows may be a piece of a password
        raise ValueError(f"not a URL: {why}") from None
    if len(url.raw_path) > _LONGEST_TARGET:
        raise ValueError(f"a path and query have at most {_LONGEST_TARGET} bytes, percent-encoded")
    check_host(address_of(url).host)
    if url.port is not None:
        check_port(url.port)
    return url


def with_path(url: httpx.URL, suffix: str) -> httpx.URL:
    """Return *url* with a path that ends with *suffix*: once, and without a final slash."""
    path, mark, query = url.raw_path.partition(b"?")  # raw: a %2F in it stays one
    path = path.removesuffix(b"/").removesuffix(suffix.encode("ascii"))
    return url.copy_with(raw_path=path + suffix.encode("ascii") + mark + query)


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
    """Return the `Authorization` header for the name and password in a URL, if it has any."""
    if not url.userinfo:
        return None
    name, _, password = url.userinfo.partition(b":")
    login = b64encode(unquote_to_bytes(name) + b":" + unquote_to_bytes(password))
    return f"Basic {login.decode('ascii')}"


def check_port(port: int) -> int:
    """Return *port* if TCP and UDP have it; raise `ValueError` if not."""
    if not 1 <= port <= _LAST_PORT:
        raise ValueError("expected a port from 1 to 65535")
    return port


def is_loopback(host: str) -> bool:
    """Return whether *host*, in any spelling, is this machine's own loopback; no look-up is made."""
    host = host.rstrip(".")
    try:
        if ":" in host:
            packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
            return packed == _IPV6_LOOPBACK or packed[:13] == _MAPPED_LOOPBACK
        if host[:1].isdigit():
            return socket.inet_aton(host)[0] == _LOOPBACK_NETWORK  # `127.1` and `0x7f.1`, too
    except (OSError, ValueError):
        return False
    return host.lower() == "localhost"


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that *host* is, also as `127.1` or `0x7f.1`; `None` for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
