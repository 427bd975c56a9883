"""A GET request: what is asked, and why there may be no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path

import httpx
import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.net import AccessPolicy, Network
from sonda.pipeline.net.http_query import ANSWER_BYTES, Answered, get
from sonda.pipeline.policy.destinations import Policy, parse_rule
from tests.support.mock_http import Handler, MockHttp

URL = "http://loki.example:3100/query?a=%20b"


def asked(
    handler: Handler,
    url: str = URL,
    headers: Mapping[str, str] = {},
    policy: AccessPolicy | None = None,
) -> Result[Answered, str]:
    """Ask a network of memory."""

    async def main() -> Result[Answered, str]:
        network = Network(policy)
        network.__dict__["http"] = MockHttp(handler)
        try:
            return await get(
                httpx.URL(url),
                headers,
                sink="loki",
                tls=None,
                network=network,
                deadline=Deadline.within(10),
            )
        finally:
            await network.aclose()

    return asyncio.run(main())


def test_the_request() -> None:
    """Ours are the headers that nobody has given, in any case; userinfo becomes an authorization."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(404, content=b"no")

    found = asked(handler, "http://me:pw@h:1/x", {"user-agent": "mine", "X-Scope-OrgID": "a"})
    assert found == Success(Answered(404, b"no"))
    (request,) = seen
    assert (request.method, request.url.raw_path) == ("GET", b"/x")
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["user-agent"] == "mine"
    assert request.headers["x-scope-orgid"] == "a"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == "h:1"


def test_the_query_is_sent_as_it_is() -> None:
    """No escape is undone or added."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/query?a=%20b"
        return httpx.Response(200)

    assert asked(handler) == Success(Answered(200, b""))


@pytest.mark.parametrize("size", [ANSWER_BYTES, ANSWER_BYTES + 1])
def test_an_answer_is_bounded(size: int) -> None:
    """One that is longer is none."""
    found = asked(lambda _: httpx.Response(200, content=bytes(size)))
    assert isinstance(found, Success) is (size <= ANSWER_BYTES)
    if isinstance(found, Failure):
        assert found.failure() == f"an answer that is torn or longer than {ANSWER_BYTES} bytes"


def test_what_fails_is_a_reason() -> None:
    """Nothing is raised for what a destination or an operator does."""

    def refuse(_: httpx.Request) -> Awaitable[httpx.Response]:
        raise ConnectionRefusedError(111, "Connection refused")

    assert asked(refuse) == Failure("Connection refused")


def test_a_destination_that_the_operator_does_not_allow(tmp_path: Path) -> None:
    """It is not asked."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request)

    only_other = AccessPolicy(tmp_path, tmp_path, Policy((parse_rule("other.example", sinks=()),)))
    found = asked(handler, policy=only_other)
    assert isinstance(found, Failure)
    assert "--allow-destination" in found.failure()
