"""`/metrics` and `/ready` of a server that runs scenarios: the runner is asked, too."""

from __future__ import annotations

import falcon.asgi

from sonda.http_answers import Answer, write
from sonda.observe.metrics import Metrics
from sonda.pipeline.text.compact_json import compact
from sonda.resources.exposition import Exposition
from sonda.resources.probes import Readiness, Ready
from sonda.resources.request import BearerAuth
from sonda.server.scenarios.gateway import Gateway


class ScenarioExposition(Exposition):
    """`GET /metrics`, with the counts of scenarios."""

    def __init__(self, auth: BearerAuth, metrics: Metrics, gateway: Gateway) -> None:
        super().__init__(auth, metrics.answer)
        self._metrics = metrics
        self._gateway = gateway

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer with all counts; without those of scenarios where the runner does not answer."""
        self._auth.check(req)
        self._metrics.scenarios = await self._gateway.status()
        await super().on_get(req, resp)


class ScenarioReady(Ready):
    """`GET /ready`, which says where scenarios cannot go on."""

    def __init__(self, readiness: Readiness, gateway: Gateway) -> None:
        super().__init__(readiness)
        self._gateway = gateway

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer whether the server takes events; these go on where records cannot be written."""
        await super().on_get(req, resp)
        unrecorded = (await self._gateway.status()).get("unrecorded")
        if unrecorded is not None:
            warning = f"scenarios hand nothing over while they cannot be recorded: {unrecorded} (--state-dir)"
            write(resp, Answer(200, compact({"status": "ready", "warnings": [warning]})))
