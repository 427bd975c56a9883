"""Request lines that the parser and the server read differently."""

from __future__ import annotations

import pytest

from sonda.server.request_head import head_too_large, split_target, with_known_method


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
