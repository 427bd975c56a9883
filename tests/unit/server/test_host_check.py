"""Which names of this machine a browser's request may have called."""

from __future__ import annotations

import pytest

from sonda.server.host_check import AllowedHost, HostCheck, parse_allowed_host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sonda.example", AllowedHost("sonda.example")),
        ("Sonda.EXAMPLE.:8080", AllowedHost("sonda.example", 8080)),
        ("10.0.0.1:80", AllowedHost("10.0.0.1", 80)),
        ("[2001:DB8::1]:443", AllowedHost("2001:db8::1", 443)),
        ("2001:db8:0::1", AllowedHost("2001:db8::1")),
    ],
)
def test_an_allowed_host(text: str, expected: AllowedHost) -> None:
    """Names have one case and no final dot, addresses their shortest form."""
    assert parse_allowed_host(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a:b", "a:", "a:0", "a:65536", "a:123456", "[::1", "a b", "http://a", "a/b", "*"]
)
def test_what_is_no_host(text: str) -> None:
    """A wildcard, a URL or a port that nobody can have is refused at the start."""
    with pytest.raises(ValueError, match=r"."):
        parse_allowed_host(text)


ALLOWED = (AllowedHost("sonda.example"), AllowedHost("other.example", 8080), AllowedHost("::2", 80))


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8080", True),
        (b"127.0.0.1:9", True),
        (b"127.1.2.3", True),
        (b"[::1]:8080", True),
        (b"[::ffff:127.0.0.1]", True),
        (b"sonda.example:1", True),
        (b"SONDA.example.", True),
        (b"other.example:8080", True),
        (b"[::2]", True),  # a browser leaves port 80 out
        (b"[0:0::2]:80", True),
        (b"other.example", False),
        (b"other.example:80", False),
        (b"[::2]:81", False),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"sonda.example.evil.example", False),
        (b"127.0.0.1.evil.example", False),
        (b"localhost:x", False),
        (b"localhost:99999", False),
        (b"", False),
        (b"\xff", False),
        (b"u@localhost", False),
    ],
)
def test_a_request(value: bytes, passes: bool) -> None:
    """Loopback always passes, and so does what is allowed, on its port where it names one."""
    check = HostCheck(ALLOWED)
    assert [check.passes(value) for _ in range(2)] == [passes] * 2
