"""`GET /health` and `GET /ready`, and when a server is ready."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import falcon.asgi
import pytest

from sonda.rejections import NotReady
from sonda.resources.errors import RequestRejected
from sonda.resources.probes import GetResource, Health, Readiness, Ready


class Opened:
    """A pipeline that remembers whether it is open."""

    def __init__(self, *, fails: bool = False) -> None:
        self.is_open = False
        self._fails = fails

    async def __aenter__(self) -> Self:
        if self._fails:
            raise OSError("no room")
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False


def get(resource: GetResource, *, head: bool = False) -> falcon.asgi.Response:
    """Return what a resource answers."""

    async def receive() -> Any:
        raise AssertionError("nothing reads a body")

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    req, resp = falcon.asgi.Request(scope, receive), falcon.asgi.Response()
    asyncio.run(resource.on_head(req, resp) if head else resource.on_get(req, resp))
    return resp


@pytest.mark.parametrize("head", [False, True])
def test_a_server_that_answers_is_up(head: bool) -> None:
    """HEAD is answered as GET; Falcon leaves the body out."""
    assert get(Health(), head=head).data == b'{"status":"ok"}'


def test_readiness_follows_the_pipeline() -> None:
    """Open with the server, closed with it, and no events are welcome before or after."""
    pipeline = Opened()
    readiness = Readiness(pipeline)
    resource = Ready(readiness)
    with pytest.raises(RequestRejected) as exc:
        get(resource)
    assert exc.value.rejection == NotReady()

    async def through_its_life() -> list[bool]:
        await readiness.process_startup({}, {})
        seen = [readiness.is_ready, pipeline.is_open]
        await readiness.process_shutdown({}, {})
        return [*seen, readiness.is_ready, pipeline.is_open]

    assert asyncio.run(through_its_life()) == [True, True, False, False]
    readiness.is_ready = True
    assert get(resource).data == b'{"status":"ready"}'


def test_a_pipeline_that_does_not_open_makes_nothing_ready() -> None:
    """The error is the server's to report."""
    readiness = Readiness(Opened(fails=True))
    with pytest.raises(OSError, match="no room"):
        asyncio.run(readiness.process_startup({}, {}))
    assert not readiness.is_ready
