"""Request lines that the parser and the server read differently."""

from __future__ import annotations

import pytest

from sonda.server.request_head import (
    HEAD_LIMIT_BYTES,
    Header,
    Refusal,
    TakenHead,
    head_too_large,
    split_target,
    take_head,
    with_known_method,
)

HEADERS = [(b"host", b"h"), (b"content-length", b"10"), (b"accept", b"*/*")]


def taken(
    headers: list[Header] = HEADERS, url: bytes = b"/e", version: str = "1.1", *, keeps: bool = True
) -> TakenHead:
    """Take a head."""
    return take_head(url, b"POST", version, headers, keeps_alive=keeps)


def test_what_a_head_says() -> None:
    """The request line, and what the connection and the body's sender await."""
    expecting = [(b"host", b"h"), (b"expect", b"100-Continue")]
    head = taken(expecting, b"/a%20b?c")
    assert head.scope["path"] == "/a b"
    assert head.scope["query_string"] == b"c"
    assert (head.expects_100, head.keeps_alive) == (True, True)
    assert not taken(keeps=False).keeps_alive
    old = taken(expecting[1:], version="1.0")
    assert (old.expects_100, old.keeps_alive) == (False, False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 400),
        ([HEADERS[0], HEADERS[0]], 400),
        ([HEADERS[0], (b"x", b"y" * HEAD_LIMIT_BYTES)], 431),
    ],
)
def test_a_refused_head(headers: list[Header], status: int) -> None:
    """One `Host` is required, and a head has a limit."""
    with pytest.raises(Refusal) as refused:
        taken(headers)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/events", ("/events", b"/events", b"")),
        (b"/events?dry_run=true&x", ("/events", b"/events", b"dry_run=true&x")),
        (b"/a%2Fb%20c", ("/a/b c", b"/a%2Fb%20c", b"")),
        (b"/%ff", ("/\ufffd", b"/%ff", b"")),
        (b"http://h:1/a?b", ("/a", b"/a", b"b")),
        (b"/?", ("/", b"/", b"")),
        (b"http://h", None),  # no path
        (b"*", ("*", b"*", b"")),
        (b"no path", None),
    ],
)
def test_a_target(target: bytes, expected: tuple[str, bytes, bytes] | None) -> None:
    """The path once decoded and once as it is written, and the query as it is written."""
    assert split_target(target) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"BREW /pot HTTP/1.1\r\nHost: h", (b"BREW", b"PROPFIND /pot HTTP/1.1\r\nHost: h")),
        (b"x-y.z!1 / HTTP/1.0\r\n", (b"x-y.z!1", b"PROPFIND / HTTP/1.0\r\n")),
        (b"A" * 64 + b" / HTTP/1.1\r\n", (b"A" * 64, b"PROPFIND / HTTP/1.1\r\n")),
        (b"A" * 65 + b" / HTTP/1.1\r\n", None),
        (b"A / HTTP/2.0\r\n", None),
        (b"A / HTTP/1.1\n", None),
        (b"A  / HTTP/1.1\r\n", None),
        (b"(A) / HTTP/1.1\r\n", None),
        (b" A / HTTP/1.1\r\n", None),
        (b"A / HTTP/1.1", None),
    ],
)
def test_a_method_that_the_parser_does_not_know(
    data: bytes, expected: tuple[bytes, bytes] | None
) -> None:
    """A token of RFC 9110 is a method, for which another stands in; anything else is garbage."""
    assert with_known_method(data) == expected


def test_a_head_that_is_too_large() -> None:
    """It is 431, with the limit."""
    refusal = head_too_large()
    assert (refusal.status, str(refusal)) == (
        431,
        "the request's line and headers are over 65536 bytes",
    )
