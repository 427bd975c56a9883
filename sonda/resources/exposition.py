"""`GET /metrics`, for Prometheus."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import falcon.asgi
from prometheus_client.exposition import gzip_accepted

from sonda.rejections import InvalidParameter, UnknownParameters
from sonda.resources.errors import RequestRejected
from sonda.resources.probes import GetResource
from sonda.resources.request import BearerAuth, parameters


class Exposition(GetResource):
    """All counts, in the format that the scraper prefers; *render* maps `Accept` to body and type."""

    def __init__(self, auth: BearerAuth, render: Callable[[str], tuple[bytes, str]]) -> None:
        self._auth = auth
        self._render = render

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what all workers have counted, compressed for a scraper that takes that."""
        self._auth.check(req)
        asked = parameters(req.query_string)
        if isinstance(asked, UnknownParameters | InvalidParameter):
            raise RequestRejected(asked)
        body, resp.content_type = self._render(req.get_header("Accept") or "")
        resp.set_header("Vary", "Accept, Accept-Encoding")
        if gzip_accepted(req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            body = gzip.compress(body)
        resp.data = body
