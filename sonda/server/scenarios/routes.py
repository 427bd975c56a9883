"""`/scenarios` of a worker: the shell's checks, then the runner."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote

import falcon
import falcon.asgi
from prometheus_client.exposition import choose_encoder, gzip_accepted

from sonda.http_answers import refused, write
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.scenarios.reading import MOST_BYTES
from sonda.rejections import UnsupportedMediaType
from sonda.resources.errors import RequestRejected, requested_form
from sonda.resources.request import BODY, BearerAuth
from sonda.server.scenarios.gateway import Gateway
from sonda.server.scenarios.query import drain_s, parameters, wait_s
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.resources import YAML_TYPES

Request = falcon.asgi.Request
Response = falcon.asgi.Response

_POLL_S: Final = 0.1
_OK: Final = 200
_ERROR: Final = 400
_BUSY: Final = 503
_DOCUMENT_LIMIT: Final = "a scenario's own limit"


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
    app.add_route("/scenarios/metrics", _Scrape(*shared))
    app.add_route("/scenarios/{wanted}/metrics", _Scrape(*shared))
    app.add_route("/scenarios/{wanted}", _Item(*shared, timeout_s, is_ready))
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


class _Resource:
    on_get: Callable[..., Awaitable[None]]

    def __init__(self, gateway: Gateway, auth: BearerAuth) -> None:
        self._gateway = gateway
        self._auth = auth

    async def on_head(self, req: Request, resp: Response, **wanted: str) -> None:
        """Answer as GET does; Falcon leaves the body out."""
        await self.on_get(req, resp, **wanted)

    async def _forward(
        self, req: Request, resp: Response, caller: Caller, asked: Mapping[str, str]
    ) -> None:
        """Answer as the runner does to the same call."""
        method = "GET" if req.method == "HEAD" else req.method
        wait_s = drain_s(asked) if method == "DELETE" else 0.0
        answer = await self._gateway.call(
            method, quote(req.path), asked, caller=caller, takes_s=wait_s
        )
        _write(req, resp, *answer)


def _write(
    req: Request, resp: Response, status: int, headers: Mapping[str, str], content: bytes
) -> None:
    if status >= _ERROR:
        _write_error(req, resp, status, json.loads(content)["detail"])
        return
    resp.status, resp.data = status, content
    resp.content_type = headers.get("content-type", falcon.MEDIA_JSON)
    if "location" in headers:
        resp.set_header("Location", headers["location"])


def _write_error(req: Request, resp: Response, status: int, detail: str) -> None:
    """Write the envelope of `/events`, in the form that the request asks for."""
    write(resp, refused(status, detail, requested_form(req.scope)._replace(receipt=False)))
    if status == _BUSY:
        resp.set_header("Retry-After", "1")


class _Collection(_Resource):
    def __init__(self, gateway: Gateway, auth: BearerAuth, timeout_s: float) -> None:
        super().__init__(gateway, auth)
        self._timeout_s = timeout_s

    async def on_get(self, req: Request, resp: Response) -> None:
        """List runs."""
        caller = self._auth.check(req)
        await self._forward(
            req, resp, caller, parameters(req.query_string, "state", "limit", "after")
        )

    async def on_post(self, req: Request, resp: Response) -> None:
        """Start a run."""
        caller = self._auth.check(req)
        media_type, raw = await _document(req, self._timeout_s)
        asked = parameters(req.query_string, "dry_run", "points")
        if "points" in asked and asked.get("dry_run") != "true":
            raise Refusal(400, "query parameter 'points': it draws a plan, so add dry_run=true")
        _write(req, resp, *await self._gateway.submit(raw, media_type, asked, caller=caller))


async def _document(req: Request, timeout_s: float) -> tuple[str, bytes]:
    """Return what the body is, and the body; raise `RequestRejected`."""
    media_type = _media_type(req)
    raw: bytes = await req.scope[BODY].read(
        req.get_header("Content-Length"), MOST_BYTES, timeout_s, _DOCUMENT_LIMIT
    )
    req.context.raw = raw
    return media_type, raw


def _media_type(req: Request) -> str:
    """Return what the body is; raise `RequestRejected` where it is neither JSON nor YAML."""
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    known = (falcon.MEDIA_JSON, *YAML_TYPES)
    if media_type not in known:
        raise RequestRejected(
            UnsupportedMediaType(f"send the scenario as one of {', '.join(known)}")
        )
    if req.get_header("Content-Encoding") is not None:
        raise RequestRejected(
            UnsupportedMediaType("send the body as it is, without Content-Encoding")
        )
    return media_type


class _Item(_Resource):
    def __init__(
        self,
        gateway: Gateway,
        auth: BearerAuth,
        timeout_s: float,
        is_ready: Callable[[], bool],
    ) -> None:
        super().__init__(gateway, auth)
        self._timeout_s = timeout_s
        self._is_ready = is_ready

    async def on_get(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # in the path
        """Show a run; with `wait` once it has finished, or then."""
        caller = self._auth.check(req)
        asked = parameters(req.query_string, "wait")
        until_s = asyncio.get_running_loop().time() + wait_s(asked)
        while True:
            await self._forward(req, resp, caller, {})
            is_over = (
                resp.status_code != _OK or json.loads(resp.data or b"{}")["state"] == "finished"
            )
            left_s = until_s - asyncio.get_running_loop().time()
            if is_over or left_s <= 0 or not self._is_ready():
                return
            await asyncio.sleep(min(_POLL_S, left_s))

    async def on_patch(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # as above
        """Let it go on otherwise from now."""
        caller = self._auth.check(req)
        media_type, raw = await _document(req, self._timeout_s)
        parameters(req.query_string)
        answer = await self._gateway.change(quote(req.path), raw, media_type, caller=caller)
        _write(req, resp, *answer)

    async def on_delete(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # as above
        """Stop and drain."""
        caller = self._auth.check(req)
        await self._forward(req, resp, caller, parameters(req.query_string, "drain", "forget"))


class _Events(_Resource):
    async def on_get(self, req: Request, resp: Response, wanted: str) -> None:  # noqa: ARG002  # as above
        """Show the events again that were not delivered."""
        caller = self._auth.check(req)
        await self._forward(req, resp, caller, parameters(req.query_string, "outcome", "limit"))


class _Scrape(_Resource):
    async def on_get(self, req: Request, resp: Response, wanted: str = "") -> None:  # noqa: ARG002  # as above
        """Show the latest values, in the format that the scraper prefers."""
        caller = self._auth.check(req)
        parameters(req.query_string)
        _, content_type = choose_encoder(req.get_header("Accept") or "")
        asked, end = {"format": "text"}, b""
        if content_type.startswith("application/openmetrics-text"):
            asked, end = {"format": "openmetrics"}, b"# EOF\n"
        status, headers, body = await self._gateway.call(
            "GET", quote(req.path), asked, caller=caller
        )
        if status != _OK:
            _write(req, resp, status, headers, body)
            return
        resp.content_type, body = content_type, body + end
        resp.set_header("Vary", "Accept, Accept-Encoding")
        if gzip_accepted(req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            body = await asyncio.to_thread(gzip.compress, body)
        resp.data = body


class _Progress(_Resource):
    def __init__(self, gateway: Gateway, auth: BearerAuth, is_ready: Callable[[], bool]) -> None:
        super().__init__(gateway, auth)
        self._is_ready = is_ready

    async def on_get(self, req: Request, resp: Response, wanted: str) -> None:
        """Stream the ledger."""
        caller = self._auth.check(req)
        parameters(req.query_string)
        path = f"/scenarios/{quote(wanted)}"
        status, headers, body = await self._gateway.call("GET", path, {}, caller=caller)
        if status != _OK:
            _write(req, resp, status, headers, body)
            return
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        if req.method != "HEAD":
            resp.stream = self._gateway.progress(path, caller, self._is_ready)


async def _answer_refusal(req: Request, resp: Response, error: Refusal, _params: object) -> None:
    _write_error(req, resp, error.status, str(error))
