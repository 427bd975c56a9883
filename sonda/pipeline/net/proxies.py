"""HTTP proxies, as the environment names them: asked for with `--proxy-from-env`, else ignored.

A request for `http://` goes to the proxy in absolute form, one for `https://` through a tunnel
(RFC 9110, section 9.3.6), so that the destination's certificate is verified as ever.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from sonda.pipeline.net.sockets import Socket
from sonda.pipeline.text.escape import escape
from sonda.pipeline.values.addresses import Address

if TYPE_CHECKING:
    import httpx

_DEFAULT_PORT: Final = 80
_HEAD_BYTES: Final = 65536
_SHOWN_CHARACTERS: Final = 100


class Proxy(Struct, frozen=True):
    """A proxy that speaks plain HTTP, and the value of `Proxy-Authorization`, if it wants one."""

    address: Address
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.address})"


class Tunnel(Struct, frozen=True):
    """Where a connection leads behind the proxy it is made to."""

    address: Address
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Tunnel({self.address})"


class Proxies:
    """The proxies of the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, less `NO_PROXY`.

    The names may be in lower case, which wins. Raise `ValueError` for a proxy that is none.
    """

    def __init__(self) -> None:
        from urllib.request import getproxies_environment  # costs 20 ms to import

        found = getproxies_environment()
        self._exempt = [name.strip() for name in found.get("no", "").split(",")]
        named = {scheme: found.get(scheme) or found.get("all") for scheme in ("http", "https")}
        self._by_scheme = {scheme: _parse(url) for scheme, url in named.items() if url}

    def find(self, url: httpx.URL) -> Proxy | None:
        """Return the proxy for a URL, if it has one."""
        return None if self._is_exempt(url) else self._by_scheme.get(url.scheme)

    def _is_exempt(self, url: httpx.URL) -> bool:
        """Return whether `NO_PROXY` names the host, with or without its port, or a domain of it."""
        host, netloc = url.host.lower(), url.netloc.decode("ascii").lower()
        names = (name.strip().lower().removeprefix("*").lstrip(".") for name in self._exempt)
        return "*" in self._exempt or any(
            name and (name in (host, netloc) or host.endswith(f".{name}")) for name in names
        )


def _parse(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or _DEFAULT_PORT
    except ValueError:  # its words quote what may be a part of the password
        raise ValueError("a proxy of the environment has no valid URL") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(
            "a proxy of the environment has no http:// URL, which is all that is spoken"
        )
    login = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = f"Basic {b64encode(pair.encode()).decode('ascii')}"
    return Proxy(Address(parts.hostname, port), login)


async def open_tunnel(sock: Socket, tunnel: Tunnel) -> None:
    """Ask a proxy to connect to where *tunnel* leads; raise `OSError` where it does not."""
    host, port = tunnel.address
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    login = f"Proxy-Authorization: {tunnel.authorization}\r\n" if tunnel.authorization else ""
    await sock.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode("ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = await sock.receive()
        if not received or len(answer) > _HEAD_BYTES:
            raise OSError("the proxy gave no complete answer to CONNECT")
        answer += received
    version, _, rest = answer.partition(b"\r\n")[0].partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest.startswith(b"2"):
        said = escape(rest.decode("latin-1")[:_SHOWN_CHARACTERS])
        raise OSError(f"the proxy answered {said} to CONNECT")
