"""Requests of one connection: what was read out of a head counts for equal heads, and for no other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Final, NamedTuple

import pytest

from tests.support.serving import Serving, serving

EVENT: Final = (
    b'{"signal_type":"logs","labels":{},"log":{"severity":"info","message":"%b"},'
    b'"encoder":{"type":"json_lines"},"sink":{"type":"stdout"}}'
)
KEY: Final = "secret"
OURS: Final = {
    "Host": "localhost",
    "Content-Type": "application/json",
    "Authorization": f"Bearer {KEY}",
}


class Asked(NamedTuple):
    """A request, and what tells its answer from the others'."""

    status: int
    words: str = ""
    query: str = ""
    changed: dict[str, str] = {}  # noqa: RUF012  # nobody changes it
    method: str = "POST"
    raw: bytes = EVENT % b"hello"


REQUESTS: Final = {
    "an event": Asked(200, '"sent":true'),
    "a longer one": Asked(200, '"sent":true', raw=EVENT % (b"x" * 2000)),
    "one of as many digits": Asked(200, '"sent":true', raw=EVENT % b"hello, world"),
    "with a receipt": Asked(200, '"receipt":{', "?receipt=true"),
    "a dry run": Asked(200, '"sent":false', "?dry_run=true"),
    "an unknown parameter": Asked(400, "unknown", "?count=2"),
    "no key": Asked(401, "missing or malformed", changed={"Authorization": "Basic x"}),
    "another key": Asked(401, "invalid API key", changed={"Authorization": "Bearer sekret"}),
    "another type": Asked(415, "application/json", changed={"Content-Type": "text/plain"}),
    "lines": Asked(200, '"line":1', changed={"Content-Type": "application/x-ndjson"}),
    "a coding": Asked(415, "Content-Encoding", changed={"Content-Encoding": "gzip"}),
    "a bad idempotency key": Asked(400, "Idempotency-Key", changed={"Idempotency-Key": "\u00e9"}),
    "problems as RFC 9457": Asked(
        400, "about:blank", changed={"Accept": "application/problem+json"}, raw=b"{"
    ),
    "no JSON": Asked(400, '{"error":"bad_request"', raw=b"{"),
    "another path": Asked(404, "not_found", "/nope"),
    "another method": Asked(405, "method_not_allowed", method="PUT"),
    "an id": Asked(200, '"sent":true', changed={"X-Request-Id": "mine"}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    """Run a server with a key."""
    with serving("--api-key", KEY) as running:
        yield running


def check(connection: HTTPConnection, asked: Asked) -> str:
    """Ask on a kept connection, and expect the request's own answer; return its id."""
    connection.request(asked.method, f"/events{asked.query}", asked.raw, OURS | asked.changed)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert (answer.status, asked.words in text) == (asked.status, True), (asked, text)
    own_id = answer.headers["X-Request-Id"]
    assert (own_id == "mine") == ("X-Request-Id" in asked.changed)
    return own_id


def test_each_after_each_other(server: Serving) -> None:
    """Whichever request came before, and however often, each gets the answer that it gets alone."""
    ids = []
    with closing(HTTPConnection(server.host, server.port, timeout=20)) as connection:
        for first, second in itertools.permutations(REQUESTS.values(), 2):
            ids += [check(connection, asked) for asked in (first, first, second)]
    others = [own_id for own_id in ids if own_id != "mine"]
    assert len({*others}) == len(others)


def test_another_host() -> None:
    """The check of `Host` is for each that is not equal."""
    hosts = ["localhost", "localhost", "evil.example", "localhost", "127.0.0.1", "evil.example"]
    with (
        serving() as running,
        closing(HTTPConnection(running.host, running.port, timeout=20)) as connection,
    ):
        for host in hosts:
            connection.request("POST", "/events", EVENT % b"x", OURS | {"Host": host})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (403 if host == "evil.example" else 200)
