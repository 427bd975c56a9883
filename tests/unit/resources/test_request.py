"""What a request says beside its event: query parameters, headers, its key, its body's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import falcon.asgi
import pytest

from sonda.pipeline.policy.callers import ANYBODY, ApiKey, Caller
from sonda.rejections import (
    CutShort,
    InvalidKey,
    InvalidParameter,
    PayloadTooLarge,
    Rejection,
    RequestTimeout,
    Unauthorized,
    UnknownParameters,
    UnsupportedMediaType,
)
from sonda.resources.errors import RequestRejected
from sonda.resources.request import (
    BearerAuth,
    Body,
    Message,
    event_headers,
    parameters,
    query_values,
    truth_of,
)

JSON: Final = ("content-type", "application/json")
MISSING: Final = Unauthorized("missing or malformed Authorization header")


def request(*headers: tuple[str, str]) -> falcon.asgi.Request:
    """Return a request of Falcon's with these headers."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/events",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }

    async def receive() -> Any:
        raise AssertionError("nothing reads the body")

    return falcon.asgi.Request(scope, receive)


def rejected(exc: pytest.ExceptionInfo[RequestRejected]) -> object:
    return exc.value.rejection


# Query parameters


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"a": False, "b": False}),
        ("a=true", {"a": True, "b": False}),
        ("a&b=0", {"a": True, "b": False}),
        ("a=1&b=", {"a": True, "b": True}),
        ("c=1", UnknownParameters(("c",))),
        ("c=1&a=x&d", UnknownParameters(("c", "d"))),
        ("a=1&a=1", InvalidParameter("a", "is given more than once")),
        ("a=yes", InvalidParameter("a", "unknown variant 'yes', expected 'true' or 'false'")),
        ("%61=true", {"a": True, "b": False}),
    ],
)
def test_parameters(query: str, found: object) -> None:
    """None is ignored: what is unknown comes before what is wrong."""
    assert parameters(query, "a", "b") == found


def test_values_stand_as_they_are_written() -> None:
    """Decoded, but not interpreted."""
    assert query_values("drain=5%73&x=", "drain", "x") == {"drain": "5s", "x": ""}
    assert truth_of("x", "TRUE") == InvalidParameter(
        "x", "unknown variant 'TRUE', expected 'true' or 'false' (did you mean 'true'?)"
    )


# Who sends it


class Config:
    """A configuration with these keys."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = keys

    @property
    def current(self) -> Config:
        return self


def test_without_keys_anybody_may_call() -> None:
    """Whatever the header says."""
    assert BearerAuth(Config()).check(request(("authorization", "Basic x"))) is ANYBODY


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, MISSING),
        ("", MISSING),
        ("Bearer", MISSING),
        ("Bearer   ", MISSING),
        ("Basic secret", MISSING),
        ("Bearersecret", MISSING),
        ("Bearer other", Unauthorized("invalid API key")),
        ("Bearer secret2", Unauthorized("invalid API key")),
        ("Bearer s\xe9cret", Unauthorized("invalid API key")),
    ],
)
def test_who_has_no_key_is_refused(header: str | None, expected: Unauthorized) -> None:
    """A header that is none is told from a key that is wrong."""
    headers = [] if header is None else [("authorization", header)]
    with pytest.raises(RequestRejected) as exc:
        BearerAuth(Config(ApiKey("secret", Caller("a")))).check(request(*headers))
    assert rejected(exc) == expected
    assert str(exc.value) == str(expected)


@pytest.mark.parametrize("header", ["Bearer two", "bearer two", "BEARER   two "])
def test_a_key_says_who_calls(header: str) -> None:
    """The scheme's case does not matter (RFC 9110, 11.1), nor blanks around the key."""
    config = Config(ApiKey("one", Caller("a")), ApiKey("two", Caller("b")))
    assert BearerAuth(config).check(request(("authorization", header))) == Caller("b")


# Headers


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        (" application/x-ndjson ;x", "application/x-ndjson"),
    ],
)
def test_the_type_of_a_body(content_type: str, media_type: str) -> None:
    """Parameters are allowed."""
    assert event_headers(request(("content-type", content_type))) == (media_type, None)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "text/plain")],
        [("content-type", "application/jsonl")],
        [("content-type", "multipart/form-data; application/json")],
        [JSON, ("content-encoding", "gzip")],
        [JSON, ("content-encoding", "identity")],
    ],
)
def test_no_other_body_is_taken(headers: list[tuple[str, str]]) -> None:
    """A page of another origin could send some of them without a preflight."""
    with pytest.raises(RequestRejected) as exc:
        event_headers(request(*headers))
    assert isinstance(rejected(exc), UnsupportedMediaType)


def test_an_idempotency_key() -> None:
    """One, that is a key."""
    assert event_headers(request(JSON, ("idempotency-key", "abc-1")))[1] == "abc-1"


@pytest.mark.parametrize("keys", [[""], ["a", "a"], ["x" * 10_000]])
def test_a_key_that_is_none(keys: list[str]) -> None:
    """Falcon keeps the last of several alone: they are counted."""
    with pytest.raises(RequestRejected) as exc:
        event_headers(request(JSON, *(("idempotency-key", key) for key in keys)))
    assert isinstance(rejected(exc), InvalidKey)


# The body


def body(*messages: Message, is_whole: bool = True) -> Body:
    """Return a body whose messages have come; where none follows, receiving waits for ever."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return Body(receive, asyncio.get_running_loop().time(), is_whole=is_whole)


def chunk(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def read(
    messages: Iterable[Message],
    announced: str | None = None,
    limit_bytes: int = 10,
    timeout_s: float = 60,
    **how: Any,
) -> bytes | Rejection:
    """Return the body, or why it is refused."""

    async def reading() -> bytes | Rejection:
        try:
            return await body(*messages, **how).read(announced, limit_bytes, timeout_s)
        except RequestRejected as exc:
            return exc.rejection  # type: ignore[return-value]  # of ours

    return asyncio.run(reading())


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_body_is_its_chunks(is_whole: bool) -> None:
    """Empty ones included; one of exactly the limit passes."""
    chunks = [chunk(b"01234", more=True), chunk(b"", more=True), chunk(b"56789")]
    assert read(chunks, is_whole=is_whole) == b"0123456789"
    assert read(chunks, "10", is_whole=is_whole) == b"0123456789"
    assert read([{"type": "http.request"}]) == b""


@pytest.mark.parametrize("announced", ["11", "0" * 5_000 + "11", "9" * 19])
def test_an_announced_length_over_the_limit_is_not_read(announced: str) -> None:
    """Zeros in front of it are no reason to crash."""
    assert read([], announced) == PayloadTooLarge(10, "--max-body-bytes")


def test_a_body_is_counted_while_it_comes() -> None:
    """Without an announced length, too, and before its end."""
    endless = [chunk(b"012345", more=True)] * 2
    assert read(endless) == PayloadTooLarge(10, "--max-body-bytes")


@pytest.mark.parametrize(
    ("messages", "announced"),
    [
        ([chunk(b"01", more=True), {"type": "http.disconnect"}], None),
        ([chunk(b"01")], "3"),
        ([chunk(b"01")], "1"),
    ],
)
def test_a_body_that_is_cut_short_is_none(messages: list[Message], announced: str | None) -> None:
    """Neither what ends with a disconnect, nor what has not its length."""
    assert read(messages, announced) == CutShort()


def test_a_body_that_does_not_come() -> None:
    """It is waited for until the time is up, which is counted from the request's start."""
    assert read([chunk(b"0", more=True)], timeout_s=0, is_whole=False) == RequestTimeout(0)


def test_what_is_there_when_the_time_is_up_counts() -> None:
    """A body that came in the very turn is read all the same."""
    assert read([chunk(b"0", more=True), chunk(b"1")], timeout_s=-1, is_whole=False) == b"01"
