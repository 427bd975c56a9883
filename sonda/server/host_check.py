"""Which `Host` a request may have where nothing else keeps web pages away.

A page's own name may come to resolve to 127.0.0.1 (DNS rebinding). The browser then takes a server
on this machine for the page's own and asks nobody whether it may post to it; but the name is still
in `Host`. A request without a `Host` comes from no browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from sonda.pipeline.values.addresses import check_host, check_port, is_loopback, literal

_HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")
_BARE_IPV6: Final = re.compile(r"[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*")
_REMEMBERED: Final = 256
_HTTP_PORT: Final = 80


class AllowedHost(NamedTuple):
    """A name or an address that the operator allows, on any port or on one."""

    host: str
    port: int | None = None


def parse_allowed_host(text: str) -> AllowedHost:
    """Read `HOST` or `HOST:PORT`, an IPv6 address in brackets; raises `ValueError` with the reason."""
    found = _read(f"[{text}]" if _BARE_IPV6.fullmatch(text) else text)
    check_host(found.host)
    return found


def _read(text: str) -> AllowedHost:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("expected a host name or an IP address, and perhaps a port")
    bracketed, plain, port = match.groups()
    host = (bracketed or plain).removesuffix(".").lower()
    ip = literal(host)
    return AllowedHost(host if ip is None else str(ip), check_port(int(port)) if port else None)


class HostCheck:
    """The check of `Host`: loopback and allowed hosts only; its answers are cached."""

    def __init__(self, allowed: Iterable[AllowedHost]) -> None:
        self._allowed = frozenset(allowed)
        self.passes = lru_cache(_REMEMBERED)(self._passes)

    def _passes(self, value: bytes) -> bool:
        try:
            host, port = _read(value.decode("latin-1"))
        except ValueError:
            return False
        ways = {AllowedHost(host), AllowedHost(host, port or _HTTP_PORT)}
        return is_loopback(host) or not self._allowed.isdisjoint(ways)
