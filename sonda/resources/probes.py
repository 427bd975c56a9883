"""`GET /health` and `GET /ready`: public, and answered under any load."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import falcon.asgi

from sonda.http_answers import Answer, write
from sonda.pipeline.text.compact_json import compact
from sonda.rejections import NotReady
from sonda.resources.errors import RequestRejected


class GetResource:
    """A resource that serves HEAD as it serves GET; Falcon leaves the body out."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        raise NotImplementedError

    async def on_head(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer as GET does."""
        await self.on_get(req, resp)


class Health(GetResource):
    """`GET /health`."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # noqa: ARG002
        """Answer that the server is up."""
        write(resp, Answer(200, compact({"status": "ok"})))


class Readiness:
    """Falcon middleware that opens the pipeline with the server, and closes it.

    *is_ready* is whether events are welcome: the pipeline is open, and no signal has come.
    """

    def __init__(self, pipeline: AbstractAsyncContextManager[object]) -> None:
        self._pipeline = pipeline
        self._stack = AsyncExitStack()
        self.is_ready = False

    async def process_startup(self, _scope: Mapping[str, Any], _event: Mapping[str, Any]) -> None:
        """Open the pools."""
        await self._stack.enter_async_context(self._pipeline)
        self.is_ready = True

    async def process_shutdown(self, _scope: Mapping[str, Any], _event: Mapping[str, Any]) -> None:
        """Close the pools."""
        self.is_ready = False
        await self._stack.aclose()


class Ready(GetResource):
    """`GET /ready`."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # noqa: ARG002
        """Answer whether the server takes events."""
        if not self._readiness.is_ready:
            raise RequestRejected(NotReady())
        write(resp, Answer(200, compact({"status": "ready"})))
