"""`/scenarios` of a worker: the shell's checks, then the runner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import falcon
import falcon.asgi

from sonda.envelope import envelope
from sonda.pipeline.scenarios.numbers import seconds
from sonda.pipeline.scenarios.reading import MOST_BYTES
from sonda.resources.auth import BearerAuth
from sonda.resources.request import BODY
from sonda.server.scenarios.gateway import Gateway
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.resources import YAML_TYPES

Request = falcon.asgi.Request
Response = falcon.asgi.Response

_MOST_WAIT_S: Final = 60
_POLL_S: Final = 0.1
_BOOLEANS: Final = {"": "true", "1": "true", "true": "true", "0": "false", "false": "false"}


def add_scenarios(
    app: falcon.asgi.App[Request, Response],
    gateway: Gateway,
    *,
    auth: BearerAuth,
    timeout_s: float,
    is_ready: Callable[[], bool],
) -> None:
    """Add the resources; a body arrives within *timeout_s*. They end waits once *is_ready* is false."""
    shared = (gateway, auth)
    app.add_middleware(_Lifespan(gateway))
    app.add_route("/scenarios", _Collection(*shared, timeout_s))
    app.add_route("/scenarios/{wanted}", _Item(*shared, is_ready))
    app.add_route("/scenarios/{wanted}/events", _Events(*shared))
    app.add_route("/scenarios/{wanted}/progress", _Progress(*shared, is_ready))
    app.add_error_handler(Refusal, _answer_refusal)


class _Lifespan:
    """Falcon middleware that closes the connections to the runner."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def process_shutdown(self, _scope: object, _event: object) -> None:
        """Close them."""
        await self._gateway.aclose()


def _parameters(req: Request, *allowed: str) -> dict[str, str]:
    """Return the query's parameters; raise `Refusal` for one that is unknown or given twice."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(req.query_string or "", keep_blank_values=True):
        if name not in allowed:
            raise Refusal(400, f"unknown query parameter {name!r}")
        if name in found:
            raise Refusal(400, f"query parameter {name!r}: is given more than once")
        found[name] = value
    for name in ("dry_run", "forget"):
        if name in found:
            if found[name] not in _BOOLEANS:
                raise Refusal(400, f"query parameter {name!r}: expected true or false")
            found[name] = _BOOLEANS[found[name]]
    return found


class _Resource:
    on_get: Callable[..., Awaitable[None]]

    def __init__(self, gateway: Gateway, auth: BearerAuth) -> None:
        self._gateway = gateway
        self._auth = auth

    async def on_head(self, req: Request, resp: Response, **wanted: str) -> None:
        """Answer as GET does; Falcon leaves the body out."""
        await self.on_get(req, resp, **wanted)

    async def _forward(
        self,
        req: Request,
        resp: Response,
        parameters: Mapping[str, str],
        body: bytes = b"",
        content_type: str = falcon.MEDIA_JSON,
    ) -> None:
        status, headers, content = await self._gateway.call(
            "GET" if req.method == "HEAD" else req.method, req.path, parameters, body, content_type
        )
        resp.status = status
        resp.content_type = headers.get("content-type", falcon.MEDIA_JSON)
        if "location" in headers:
            resp.set_header("Location", headers["location"])
        resp.data = content


class _Collection(_Resource):
    def __init__(self, gateway: Gateway, auth: BearerAuth, timeout_s: float) -> None:
        super().__init__(gateway, auth)
        self._timeout_s = timeout_s

    async def on_get(self, req: Request, resp: Response) -> None:
        """List runs."""
        self._auth.check(req)
        await self._forward(req, resp, _parameters(req, "state", "limit", "after"))

    async def on_post(self, req: Request, resp: Response) -> None:
        """Start a run."""
        self._auth.check(req)
        media_type = (req.content_type or "").partition(";")[0].strip().lower()
        if media_type not in (falcon.MEDIA_JSON, *YAML_TYPES):
            known = ", ".join((falcon.MEDIA_JSON, *YAML_TYPES))
            raise Refusal(415, f"send the scenario as one of {known}")
        if req.get_header("Content-Encoding") is not None:
            raise Refusal(415, "send the body as it is, without Content-Encoding")
        parameters = _parameters(req, "dry_run")
        body = await req.scope[BODY].read(
            req.get_header("Content-Length"), MOST_BYTES, self._timeout_s
        )
        await self._forward(req, resp, parameters, body, media_type)


class _Item(_Resource):
    def __init__(self, gateway: Gateway, auth: BearerAuth, is_ready: Callable[[], bool]) -> None:
        super().__init__(gateway, auth)
        self._is_ready = is_ready

    async def on_get(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # in the path
        """Show a run; with `wait` once it has finished, or then."""
        self._auth.check(req)
        parameters = _parameters(req, "wait")
        until_s = asyncio.get_running_loop().time() + _wait_s(parameters.get("wait"))
        while True:
            await self._forward(req, resp, {})
            is_over = resp.status != 200 or json.loads(resp.data or b"{}")["state"] == "finished"  # noqa: PLR2004  # HTTP's OK
            left_s = until_s - asyncio.get_running_loop().time()
            if is_over or left_s <= 0 or not self._is_ready():
                return
            await asyncio.sleep(min(_POLL_S, left_s))

    async def on_delete(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # as above
        """Stop and drain."""
        self._auth.check(req)
        await self._forward(req, resp, _parameters(req, "drain", "forget"))


def _wait_s(given: str | None) -> float:
    if given is None:
        return 0.0
    try:
        span_s = float(seconds(given))
    except ValueError as exc:
        raise Refusal(422, f"query parameter 'wait': {exc}") from None
    if span_s > _MOST_WAIT_S:
        raise Refusal(422, "query parameter 'wait': at most 60s")
    return span_s


class _Events(_Resource):
    async def on_get(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # as above
        """Show the events again that were not delivered."""
        self._auth.check(req)
        await self._forward(req, resp, _parameters(req, "outcome", "limit"))


class _Progress(_Resource):
    def __init__(self, gateway: Gateway, auth: BearerAuth, is_ready: Callable[[], bool]) -> None:
        super().__init__(gateway, auth)
        self._is_ready = is_ready

    async def on_get(self, req: Request, resp: Response, wanted: str) -> None:
        """Stream the ledger."""
        self._auth.check(req)
        _parameters(req)
        status, _, body = await self._gateway.call("GET", f"/scenarios/{wanted}", {})
        if status != 200:  # noqa: PLR2004  # HTTP's OK
            resp.status, resp.data, resp.content_type = status, body, falcon.MEDIA_JSON
            return
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        if req.method != "HEAD":
            resp.stream = self._gateway.progress(wanted, self._is_ready)


async def _answer_refusal(_req: Any, resp: Response, error: Refusal, _params: object) -> None:
    resp.status = error.status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = envelope(error.status, str(error))
    if error.status == 503:  # noqa: PLR2004  # HTTP's service unavailable
        resp.set_header("Retry-After", "1")
