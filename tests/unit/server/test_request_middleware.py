"""Admission: places and bytes of requests, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sonda.observe.metrics import Metrics
from sonda.resources.errors import RequestRejected
from sonda.resources.request import Receive
from sonda.server.request_middleware import RequestMiddleware, Scope, Send

Feed = asyncio.Queue[dict[str, Any]]


class Requests:
    """Requests to a gate; each one's body is what a test feeds it, and its end is an event."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self.gate = RequestMiddleware(self._serve, max_requests, max_bytes, Metrics())
        self.verdicts: dict[str, str] = {}
        self.end = asyncio.Event()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["name"]
        try:
            while (await receive()).get("more_body"):
                pass
        except RequestRejected as exc:
            self.verdicts[name] = str(exc)
            return
        self.verdicts[name] = "admitted"
        await self.end.wait()

    def open(self, name: str) -> Callable[[int, bool], Awaitable[None]]:
        """Start a request; the result feeds it a number of bytes, and says whether more follow."""
        feed: Feed = asyncio.Queue()
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/events",
            "name": name,
            "query_string": b"",
            "headers": [],
        }

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.verdicts[name] = str(message["status"])

        self.tasks = [
            *getattr(self, "tasks", []),
            asyncio.create_task(self.gate(scope, feed.get, send)),
        ]

        async def put(size: int, more: bool) -> None:
            feed.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": more})
            for _ in range(5):
                await asyncio.sleep(0)

        return put

    async def close(self) -> None:
        """Let all requests end."""
        self.end.set()
        await asyncio.gather(*self.tasks)


def test_half_a_body_takes_no_place() -> None:
    """Clients that hold bodies back do not keep a whole one out."""

    async def scenario() -> dict[str, str]:
        requests = Requests(max_requests=2, max_bytes=1000)
        slow = [requests.open(f"slow{n}") for n in range(50)]
        for put in slow:
            await put(10, True)
        await requests.open("good")(10, False)
        await requests.open("second")(10, False)
        await requests.open("third")(10, False)
        requests.end.set()
        for put in slow:
            await put(1, False)
        await requests.close()
        return requests.verdicts

    verdicts = asyncio.run(scenario())
    assert (verdicts["good"], verdicts["second"], verdicts["third"]) == (
        "admitted",
        "admitted",
        "503",
    )


def test_bytes_are_bounded() -> None:
    """Bodies over the bound are refused, but one alone is always taken; places are given back."""

    async def scenario() -> dict[str, str]:
        requests = Requests(max_requests=100, max_bytes=100)
        await requests.open("large")(150, False)
        await requests.open("small")(1, False)
        await requests.close()
        requests.end.clear()
        await requests.open("a")(60, False)
        await requests.open("b")(40, False)
        await requests.open("c")(1, False)
        await requests.close()
        return requests.verdicts

    verdicts = asyncio.run(scenario())
    busy = "requests of 100 bytes are in flight (--max-inflight-bytes): try again"
    expected = {"large": "admitted", "small": busy, "a": "admitted", "b": "admitted", "c": busy}
    assert verdicts == expected


def test_the_slowest_body_makes_room() -> None:
    """Bodies that are still arriving are bounded, too; the oldest of them is turned away."""

    async def scenario() -> dict[str, str]:
        requests = Requests(max_requests=100, max_bytes=100)
        first, second, third = (requests.open(name) for name in ("first", "second", "third"))
        await first(50, True)
        await second(50, True)
        await third(30, True)
        assert requests.verdicts.keys() == {"first"}
        await third(10, False)
        await second(10, False)
        await requests.close()
        return requests.verdicts

    verdicts = asyncio.run(scenario())
    assert "--max-inflight-bytes" in verdicts.pop("first")
    assert verdicts == {"second": "admitted", "third": "admitted"}


def test_a_cancellation_stays_one() -> None:
    """Who is cancelled while a body arrives is not told that there is no room."""

    async def scenario() -> None:
        requests = Requests(max_requests=1, max_bytes=100)
        await requests.open("one")(50, True)
        (task,) = requests.tasks
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
