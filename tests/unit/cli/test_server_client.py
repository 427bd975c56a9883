"""A request to a server: what it says, and what is known where no answer comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from sonda.cli import server_client
from sonda.cli.server_client import Answered, Connection, NoAnswer, ServerClient
from sonda.pipeline.net.http1 import HttpRequest
from sonda.pipeline.net.http1_response import Answer
from tests.support.mock_http import Handler, MockHttp
from tests.support.mock_stream import MockSocket
from tests.support.virtual_time import run_virtually

SERVER = Connection("http://me.example:8080/base/", api_key="k\u00e9y")


def posted(handler: Handler, *, connection: Connection = SERVER) -> Answered:
    async def main() -> Answered:
        client = ServerClient(connection, "/events?receipt=true")
        client._network.__dict__["http"] = MockHttp(handler)
        try:
            return await client.post(b"{}", {"Content-Type": "application/json", "X-Id": "1"})
        finally:
            await client.aclose()

    return asyncio.run(main())


def test_the_request() -> None:
    """Below the server's own path, with the key as UTF-8 and the headers of this one request."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.raw_path) == ("POST", b"/base/events?receipt=true")
        assert (request.headers["host"], request.headers["x-id"]) == ("me.example:8080", "1")
        assert request.content == b"{}"
        return httpx.Response(502, json={"error": "x"}, headers={"Content-Type": "A/B; c=d"})

    plain = Connection(SERVER.url)
    answer = posted(handler, connection=plain)
    assert (answer.status, answer.media_type, answer.document()) == (502, "a/b", {"error": "x"})


def test_a_body_that_is_no_json() -> None:
    """A proxy's page is no document."""
    assert (
        posted(
            lambda _: httpx.Response(200, text="<html>"), connection=Connection("http://h")
        ).document()
        is None
    )


def interrupted(work: Callable[[HttpRequest], None], ends: OSError | None) -> NoAnswer:
    """Post to a server that does *work* and then fails, or never answers."""

    class Transport(MockHttp):
        async def exchange(self, request: HttpRequest) -> Answer:
            work(request)
            if ends is not None:
                raise ends
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody sets its result")

    async def main() -> NoAnswer:
        client = ServerClient(Connection("http://h"), "/events")
        client._network.__dict__["http"] = Transport(lambda _: httpx.Response(200))
        try:
            with pytest.raises(NoAnswer) as caught:
                await client.post(b"{}", {})
        finally:
            await client.aclose()
        return caught.value

    return run_virtually(main())


def test_no_connection_in_time() -> None:
    """Nothing has left, and it is said how long was waited."""
    found = interrupted(lambda _: None, None)
    assert (str(found), found.was_sent, found.is_late) == ("not within 10 s", False, True)


def test_no_answer_in_time() -> None:
    """From the connection on there is more time; the server may have worked the request."""

    def send(request: HttpRequest) -> None:
        request.body()
        sock = MockSocket()
        request.attempt.attach(sock, reused=False)
        sock.send_at_once(b"{}")

    found = interrupted(send, None)
    assert str(found) == f"not within {server_client.ANSWER_S:g} s"
    assert (found.was_sent, found.is_late) == (True, True)


def test_a_refused_connection() -> None:
    """In the system's words."""
    found = interrupted(lambda _: None, ConnectionRefusedError(111, "Connection refused"))
    assert (str(found), found.was_sent, found.is_late) == ("Connection refused", False, False)


def test_the_key_is_shown_to_nobody() -> None:
    """A connection ends up in tracebacks."""
    assert repr(SERVER) == "Connection('http://me.example:8080/base/')"
