"""`--proxy-from-env`: HTTP sinks and the server through the proxies that the environment names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.command_line import typed
from tests.support.destinations import HttpDestination

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def proxy_that_answers(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one connection: keep what is asked, and give the same answer."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                asked.append(peer.recv(65536))
                peer.sendall(answer)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", asked
        serving.join(10)


def test_plain_http_goes_to_the_proxy_in_absolute_form(
    destination: HttpDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where it is asked for; what `NO_PROXY` names goes straight."""
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    to = ["--to", "http_push=http://nowhere.example:81/x"]
    with proxy_that_answers(answer) as (address, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://me:pa55@{address}")
        result = typed("emit", "log", "x", *to, "--proxy-from-env")
    assert result.exit_code == 0
    head = asked[0].partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST http://nowhere.example:81/x HTTP/1.1"
    assert b"Proxy-Authorization: Basic bWU6cGE1NQ==" in head
    assert b"Host: nowhere.example:81" in head
    assert typed("emit", "log", "x", "--to", f"http_push={destination.url}").exit_code == 0
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    straight = ["--to", f"http_push={destination.url}", "--proxy-from-env"]
    assert typed("emit", "log", "x", *straight).exit_code == 0
    assert len(destination.posts.items) == 2


def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses the tunnel gets no byte of the event."""
    with proxy_that_answers(b"HTTP/1.1 403 Not here\r\n\r\n") as (address, asked):
        monkeypatch.setenv("ALL_PROXY", address)
        result = typed(
            "emit", "log", "x", "--to", "http_push=https://hidden.example/x", "--proxy-from-env"
        )
    assert result.exit_code == 1
    assert "the proxy answered 403 Not here to CONNECT" in result.stderr
    assert asked == [b"CONNECT hidden.example:443 HTTP/1.1\r\nHost: hidden.example:443\r\n\r\n"]


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake, without the password in it."""
    monkeypatch.setenv("HTTP_PROXY", "socks5://me:pa55@h:1")
    result = typed("emit", "log", "x", "--to", "http_push=http://h/x", "--proxy-from-env")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'--proxy-from-env': a proxy of the environment has no http:// URL" in result.stderr
    assert "pa55" not in result.stderr
