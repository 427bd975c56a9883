"""Whole requests: what HTTP allows around a body, and bodies whose targets are this test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sonda.pipeline.values.addresses import (
    Address,
    address_of,
    literal,
    parse_address,
    parse_http_url,
)
from tests.fuzz.choices import Choices
from tests.fuzz.shapes import body, written

Headers = list[tuple[bytes, bytes]]

METHODS: Final = (
    "GET",
    "PUT",
    "HEAD",
    "OPTIONS",
    "DELETE",
    "PATCH",
    "TRACE",
    "CONNECT",
    "BREW",
    "post",
)
PATHS: Final = ("/", "/health", "/events/", "/event", "/EVENTS", "//events", "/events/é", "/\ufffd", "*", "/events/1",
                "/health/", "/events\x00", "/events%2f", "", "/" + "a" * 5_000, "/../events")  # fmt: skip
QUERIES: Final = (
    b"a",
    b"a=1&b",
    b"a=%zz&=",
    b"%ff=%00",
    b"&",
    b"=",
    b"api_key=x",
    b"a=%0a",
    b";a",
    b"?" * 3_000,
)
TYPES: Final = (b"", b"text/plain", b"application/json; charset=utf-8", b"application/jsonx", b"APPLICATION/JSON",
                b"application/json;", b" application/json", b"application/json, text/plain", b"\xff/\xfe", b";",
                b"application/x-www-form-urlencoded", b"multipart/form-data")  # fmt: skip
KEYS: Final = (
    b"Bearer",
    b"Bearer ",
    b"Basic eDp5",
    b"Bearer wrong",
    b"bearer \xff",
    b"Bearer  k\xc3\xa9y ",
    b"",
    b"k\xc3\xa9y",
)
HOSTS: Final = (b"example.org", b"", b"[::1", b"127.0.0.1:99999", b"localhost:1", b"[::1]:80", b"a:b:c", b"\xff", b"127.1",
                b"localhost.", b"127.0.0.1, example.org", b"\xd9\xa3")  # fmt: skip
OTHERS: Final[Headers] = [
    (b"x-a", b"\xff\x00"), (b"accept", b"text/html"), (b"expect", b"100-continue"), (b"x-forwarded-for", b"::"),
    (b"cookie", b"a=b; c"), (b"range", b"bytes=0-"), (b"if-none-match", b"*"), (b"connection", b"upgrade"),
    (b"transfer-encoding", b"chunked"), (b"accept-encoding", b"gzip"), (b"origin", b"http://evil.example"),
    (b"x-http-method-override", b"GET"), (b"forwarded", b"for=;host=["), (b"x-a", b"1"), (b"date", b""),
]  # fmt: skip
ENCODINGS: Final = (b"gzip", b"identity", b"", b"br, gzip")
KEY: Final = "kéy"


@dataclass(frozen=True)
class Targets:
    """What a body may name and be delivered to: destinations of the test's own, on 127.0.0.1."""

    urls: tuple[str, ...]
    addresses: tuple[str, ...]

    @property
    def ports(self) -> frozenset[int]:
        """Every port that one of them has, listening or not."""
        return frozenset(parse_address(address).port for address in self.addresses)


@dataclass(frozen=True)
class Request:
    """One request, as an ASGI server would hand it over; *mark* stands in all that is sent of it."""

    method: str
    path: str
    query: bytes
    headers: Headers
    chunks: tuple[bytes, ...]
    hangs_up: bool
    mark: str
    to_keyed: bool = field(default=False)


def request(choices: Choices, mark: str, targets: Targets) -> Request:
    """Make a request; most of it is as it should be, most of the time."""
    choices.wild = choices.odds(2)
    odd = [choices.astray(12) for _ in range(8)]
    choices.wild = choices.odds(3)
    raw = tamed(marked(choices, mark), choices, targets)
    to_keyed = choices.odds(4)
    return Request(
        method=choices.one_of(METHODS) if odd[0] else "POST",
        path=choices.one_of(PATHS) if odd[1] else "/events",
        query=choices.one_of(QUERIES) if odd[2] else b"",
        headers=[*_headers(choices, odd, len(raw), to_keyed=to_keyed)],
        chunks=_chunks(raw, choices),
        hangs_up=odd[7],
        mark=mark,
        to_keyed=to_keyed,
    )


def _headers(
    choices: Choices, odd: list[bool], length: int, *, to_keyed: bool
) -> Iterator[tuple[bytes, bytes]]:
    if not (odd[3] and choices.below(4) == 0):
        yield b"content-type", choices.one_of(TYPES) if odd[3] else b"application/json"
    if odd[4]:
        yield b"content-encoding", choices.one_of(ENCODINGS)
    if odd[5]:
        yield b"content-length", b"%d" % choices.one_of((0, 1, length + 1, 2**40, 10**30, length))
    elif choices.below(2):
        yield b"content-length", b"%d" % length
    if to_keyed and not odd[6]:
        yield b"authorization", b"Bearer " + KEY.encode()
    elif odd[6]:
        yield b"authorization", choices.one_of(KEYS)
    if choices.odds(16):
        yield b"host", choices.one_of(HOSTS)
    elif choices.below(2):
        yield b"host", b"127.0.0.1:8080"
    if choices.odds(3):
        yield choices.one_of(OTHERS)


def _chunks(raw: bytes, choices: Choices) -> tuple[bytes, ...]:
    if choices.odds(4):
        at = choices.below(len(raw) + 1)
        return raw[:at], b"", raw[at:]
    return (raw,)


def marked(choices: Choices, mark: str) -> bytes:
    """Make a body that carries *mark* in a label, if it has labels."""
    made = body(choices)
    labels = made.get("labels")
    if isinstance(labels, dict):
        labels["mark"] = mark
    return written(made, choices)


Reader = Callable[[str], Address]


def _of_url(text: str) -> Address:
    return address_of(parse_http_url(text))


def tamed(raw: bytes, choices: Choices, targets: Targets) -> bytes:
    """Aim a body's sink at one of *targets*; what is no target stays, and so do some that are refused."""
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    sink = document.get("sink") if isinstance(document, dict) else None
    if not isinstance(sink, dict):
        return raw
    own = {
        **dict.fromkeys(("url", "endpoint"), (_of_url, targets.urls)),
        **dict.fromkeys(("address", "brokers"), (parse_address, targets.addresses)),
    }
    aimed = {}
    for name, (read, ours) in own.items():
        value = sink.get(name)
        if (
            isinstance(value, str)
            and value not in ours
            and _leads_away(value, read, targets, choices)
        ):
            aimed[name] = choices.one_of(ours)
    if not aimed:
        return raw
    document["sink"] = {**sink, **aimed}
    return json.dumps(document).encode()


def _leads_away(value: str, read: Reader, targets: Targets, choices: Choices) -> bool:
    """Tell whether a target must be replaced; one that the server's policy refuses may stay."""
    try:
        found = [read(each.strip()) for each in value.split(",")] if value else []
    except ValueError:
        return False
    surely_refused = all(
        literal(target.host) is not None or target.port not in targets.ports for target in found
    )
    return not surely_refused or not choices.odds(10)
