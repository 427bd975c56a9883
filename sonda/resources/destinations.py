"""`GET /destinations`: the operator's destinations, as far as the caller may use them."""

from __future__ import annotations

import falcon.asgi

from sonda.http_answers import Answer, write
from sonda.pipeline.policy.callers import Directory
from sonda.pipeline.text.compact_json import compact
from sonda.rejections import InvalidParameter, UnknownParameters
from sonda.resources.errors import RequestRejected
from sonda.resources.probes import GetResource
from sonda.resources.request import BearerAuth, parameters


class Destinations(GetResource):
    """The names of the destinations that a key may use, and the types of their sinks."""

    def __init__(self, auth: BearerAuth, directory: Directory) -> None:
        self._auth = auth
        self._directory = directory

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer with the names in the order of the configuration."""
        caller = self._auth.check(req)
        asked = parameters(req.query_string)
        if isinstance(asked, UnknownParameters | InvalidParameter):
            raise RequestRejected(asked)
        usable = [
            {"name": name, "sink": destination.sink.name}
            for name, destination in self._directory().items()
            if caller.may_use(name)
        ]
        write(resp, Answer(200, compact({"destinations": usable}) + b"\n"))
