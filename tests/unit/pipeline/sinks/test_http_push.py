"""Which events share a POST, what one carries, and what its answer proves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import httpx
import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Confirmed, ContentEncoding, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net.http_expect import Expect
from sonda.pipeline.pieces import Format
from sonda.pipeline.problems import Problem, Refused
from sonda.pipeline.sinks.http_push import SINK, HttpPush, Posters, describe, push, send_many
from tests.support.events import record, sample
from tests.support.mock_http import MockHttp

URL = "http://h.example/x?k=v"
LINES, TEXT, BINARY = "application/x-ndjson", "text/plain; charset=utf-8", "application/x-protobuf"
YES = Ack(Confirmed.ACCEPTED, status=200)


def payload(body: bytes = b"a\n", content_type: str = LINES, **more: Any) -> Payload:
    return Payload(record("a"), "json_lines", content_type, body, **more)


def network(answer: Callable[[httpx.Request], httpx.Response]) -> Network:
    """Return a network of memory."""
    made = Network()
    made.__dict__["http"] = MockHttp(answer)
    return made


def posted(
    bodies: Sequence[bytes], options: HttpPush, refused: bytes | None = None
) -> tuple[list[Result[Ack, Problem]], list[bytes]]:
    """Send a group to who refuses each request that holds *refused*; return verdicts and requests."""
    requests: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request.content)
        bad = refused is not None and refused in request.content
        return httpx.Response(400 if bad else 200)

    async def main() -> list[Result[Ack, Problem]]:
        there = network(answer)
        some = [payload(body) for body in bodies]
        try:
            return await send_many(some, Posters(options, there), there, Deadline.within(10))
        finally:
            await there.aclose()

    return asyncio.run(main()), requests


def test_a_refused_neighbour_fails_alone() -> None:
    """A joined request is split until the guilty line has been posted alone."""
    lines = [b"1\n", b"2\n", b"bad\n", b"4\n"]
    verdicts, requests = posted(lines, HttpPush(url=URL, batch_size=1000), refused=b"bad")
    assert [verdict == Success(YES) for verdict in verdicts] == [True, True, False, True]
    assert isinstance(cast("Failure[Any]", verdicts[2]).failure(), Refused)
    assert requests[0] == b"".join(lines)
    assert requests.count(b"bad\n") == 1


def test_a_request_has_so_many_bytes() -> None:
    """`batch_size` is the most of one, where it is no single event that is larger."""
    verdicts, requests = posted(
        [b"12\n", b"34\n", b"x" * 9 + b"\n"], HttpPush(url=URL, batch_size=6)
    )
    assert verdicts == [Success(YES)] * 3
    assert requests == [b"12\n34\n", b"x" * 9 + b"\n"]


@pytest.mark.parametrize(
    ("some", "batch_size", "can"),
    [
        ([payload(), payload()], 10, True),
        ([payload(), payload()], None, False),
        ([payload(content_type=TEXT)], 10, True),
        ([payload(content_type=BINARY)], 10, False),
        ([payload(), payload(b"a\nb\n")], 10, False),
        ([payload(b"no line feed")], 10, False),
        ([payload(b"")], 10, False),
    ],
)
def test_what_can_be_joined(some: list[Payload], batch_size: int | None, can: bool) -> None:
    """Lines alone, each of them one, and only where a size is given."""
    assert SINK.can_join(some, HttpPush(url=URL, batch_size=batch_size)) is can


def test_pieces_of_a_run() -> None:
    """As groups are joined; a format whose events are not lines goes alone."""
    options = HttpPush(url=URL, batch_size=10)
    pieces = SINK.pieces(options, Format(LINES, lines=True))
    assert pieces is not None
    assert pieces.size_bytes == 10
    assert SINK.pieces(options, Format(TEXT, lines=False)) is None
    assert SINK.pieces(options, Format(BINARY, lines=True)) is None
    assert SINK.pieces(HttpPush(url=URL), Format(LINES, lines=True)) is None


@pytest.mark.parametrize(
    ("options", "content_type"),
    [
        (HttpPush(url=URL), LINES),
        (HttpPush(url=URL, content_type="a/b"), "a/b"),
        (HttpPush(url=URL, content_type="a/b", headers={"content-TYPE": "c/d"}), "c/d"),
    ],
)
def test_the_content_type(options: HttpPush, content_type: str) -> None:
    """The encoder's own, or the option's; a header of that name wins over both."""
    shown = describe(payload(), options, Network()).unwrap()
    found = {name.lower(): value for name, value in dict(shown.headers).items()}
    assert found["content-type"] == content_type
    assert shown.facts["request"] == "POST /x?k=v HTTP/1.1"


def test_a_format_packs_its_own_bytes() -> None:
    """With its headers; that comes last."""
    packing = ContentEncoding({"Content-Encoding": "rot"}, lambda body: body[::-1])
    shown = describe(payload(b"abc", packing=packing), HttpPush(url=URL), Network()).unwrap()
    assert shown.body == b"cba"
    assert dict(shown.headers)["Content-Encoding"] == "rot"


@pytest.mark.parametrize(("body", "is_yes"), [({"errors": False}, True), ({"errors": True}, False)])
def test_an_answer_that_says_no_inside(body: object, is_yes: bool) -> None:
    """A 2xx is none where what is expected does not hold."""
    options = HttpPush(url=URL, expect=Expect(json={"/errors": False}))

    async def main() -> Result[Ack, Problem]:
        there = network(lambda _: httpx.Response(200, content=json.dumps(body)))
        deadline = Deadline.within(10)
        pending = (await push(payload(), Posters(options, there), there, deadline)).unwrap()
        try:
            return await pending()
        finally:
            await there.aclose()

    assert isinstance(asyncio.run(main()), Success) is is_yes


def test_what_is_worked_out_once() -> None:
    """For each encoder and signal: their headers and their judgements differ."""
    posters = Posters(HttpPush(url=URL), Network())
    metric = Payload(sample(), "json_lines", LINES, b"m\n")
    assert posters.find(payload()) is posters.find(payload(b"other\n"))
    assert posters.find(metric) is not posters.find(payload())


def test_secrets_are_not_shown() -> None:
    """Neither of the URL nor of headers."""
    options = HttpPush(url="http://me:s3cret@h/", headers={"Authorization": "s3cret"})
    assert "s3cret" not in repr(options)
