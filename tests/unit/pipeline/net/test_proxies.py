"""Which proxy a URL has, and how a tunnel through one is asked for."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import httpx
import pytest

from sonda.pipeline.net.proxies import Proxies, Proxy, Tunnel, open_tunnel
from sonda.pipeline.values.addresses import Address
from tests.support.mock_stream import MockSocket

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with an environment that names none."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def found(url: str) -> Proxy | None:
    return Proxies().find(httpx.URL(url))


def test_each_scheme_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ALL_PROXY` is for those that have none, and lower case wins."""
    assert found("http://a") is None
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("HTTP_PROXY", "http://upper:2")
    monkeypatch.setenv("http_proxy", "lower:3")
    assert found("http://a") == Proxy(Address("lower", 3))
    assert found("https://a") == Proxy(Address("all", 1))


def test_a_login_becomes_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is percent-encoded in the URL is sent as it is meant; the port is 80 unless it is named."""
    monkeypatch.setenv("http_proxy", "http://me:p%40ss@proxy")
    login = f"Basic {b64encode(b'me:p@ss').decode()}"
    assert found("http://a") == Proxy(Address("proxy", 80), login)
    assert "p@ss" not in repr(found("http://a"))


@pytest.mark.parametrize(
    ("exempt", "url", "is_exempt"),
    [
        ("a.example", "http://a.example", True),
        ("a.example", "http://b.a.example", True),
        (".a.example", "http://b.a.example", True),
        ("*.a.example", "http://b.a.example", True),
        ("a.example", "http://aa.example", False),
        ("a.example:8080", "http://a.example:8080", True),
        ("a.example:8080", "http://a.example", False),
        ("A.Example", "http://a.EXAMPLE", True),
        ("x, *", "http://anything", True),
        ("", "http://a.example", False),
    ],
)
def test_no_proxy(exempt: str, url: str, is_exempt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host, a domain with all below it, a host with its port, or everything."""
    monkeypatch.setenv("http_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", exempt)
    assert (found(url) is None) is is_exempt


@pytest.mark.parametrize("url", ["socks5://p:1", "https://p:1", "http://"])
def test_only_plain_http_is_spoken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of another kind is refused at the start, not passed by."""
    monkeypatch.setenv("http_proxy", url)
    with pytest.raises(ValueError, match="no http:// URL"):
        Proxies()


def test_a_tunnel_is_asked_for() -> None:
    """The answer may come in pieces; what else it says is no matter."""
    sock = MockSocket([b"HTTP/1.1 200 Connection est", b"ablished\r\nVia: x\r\n\r", b"\n"])
    asyncio.run(open_tunnel(sock, Tunnel(Address("::1", 443), "Basic eA==")))
    assert sock.written == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic eA==\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], "answered 407 Proxy Auth"),
        ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], "to CONNECT"),
        ([b"HTTP/1.1 200 OK\r\n"], "no complete answer"),
        ([], "no complete answer"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"x" * 60000] * 3], "no complete answer"),
    ],
    ids=["refused", "not HTTP", "cut off", "silent", "endless"],
)
def test_a_tunnel_that_is_not_opened(answer: list[bytes], why: str) -> None:
    """Nothing of the event has left by then, and the reason is the proxy's."""
    with pytest.raises(OSError, match=why):
        asyncio.run(open_tunnel(MockSocket(answer), Tunnel(Address("a", 1))))


@pytest.mark.parametrize(
    "url",
    [
        "http://me:se#cret@proxy:80",
        "http://me:se/cret@proxy",
        "http://me:s3cret@proxy:99999",
        "http://me:s3cret@[::1",
        "http://me:s3\u2100cret@proxy",
        "https://me:s3cret@proxy",
        "socks5://me:s3cret@proxy",
        "http://",
    ],
)
def test_a_proxy_that_is_none_is_not_quoted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A mistake in its URL may leave a part of the password where the port should be."""
    monkeypatch.setenv("http_proxy", url)
    with pytest.raises(ValueError, match="a proxy of the environment") as caught:
        Proxies()
    assert not any(part in str(caught.value) for part in ("'se'", "s3", "cret"))
