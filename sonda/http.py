"""The HTTP shell around the pipeline: `POST /events`, and the app that its resources make.

The checks come in the contract's order. The first that fails raises `Rejected`, which the one error
serializer writes; what the pipeline returns is a `Result`. Both kinds of failure are closed unions,
and `statuses.py` is the only place that maps them to a status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias

import falcon
import falcon.asgi
from returns.result import Failure, Result, Success

from sonda.answers import Form, delivered, failed, previewed
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import Preview, Receipt
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.rejections import (
    CutOff,
    InvalidParameter,
    ShuttingDown,
    UnknownParameters,
    UnsupportedMediaType,
)
from sonda.resources.auth import BearerAuth
from sonda.resources.body import BODY, Body, Message, Receive, content_length
from sonda.resources.errors import DELIVERY, Rejected, handle_bug, serialize_error, write
from sonda.resources.exposition import Exposition
from sonda.resources.probes import Health, Readiness, Ready
from sonda.resources.query import DRY_RUN, RECEIPT, form_of, parameters

Request: TypeAlias = falcon.asgi.Request
Response: TypeAlias = falcon.asgi.Response
REQUEST_ID: Final = "sonda.id"
"""Where a request's scope keeps its id."""
_LOG: Final = logging.getLogger("sonda")


class PipelineProtocol(AbstractAsyncContextManager[object], Protocol):
    """The pipeline, as far as the shell knows it."""

    async def deliver(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[Receipt, Problem]:
        """Deliver one event before the event loop's time *until_s*.

        Where it is cancelled, the delivery's `outcome` is what has become of the event.
        """
        ...

    async def preview(
        self, raw: bytes, *, until_s: float | None = None, caller: Caller = ANYBODY
    ) -> Result[Preview, Problem]:
        """Return what would be sent."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one request."""

    request_timeout_s: float
    max_body_bytes: int


class App(falcon.asgi.App[Request, Response]):
    """A Falcon app that routes a request before its body has arrived.

    Falcon waits for the first bytes of the body before it routes. A client that keeps them back
    would be out of reach of every check and time-out, so Falcon is told that there are none yet.
    """

    readiness: Readiness

    async def __call__(  # type: ignore[override]  # as in Falcon, whose ASGI app extends its WSGI app
        self, scope: dict[str, Any], receive: Receive, send: Callable[..., Any]
    ) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope[BODY] = Body(receive, asyncio.get_running_loop().time())
        try:
            await super().__call__(scope, _nothing_yet, send)
        finally:
            del scope[BODY]  # it leads back here: a circle that only the collector could free


async def _nothing_yet() -> Message:
    return {"type": "http.request", "body": b"", "more_body": True}


class MethodCheck:
    """Falcon middleware that refuses methods a resource lacks; Falcon would serve OPTIONS."""

    async def process_resource(
        self, req: Request, _resp: Response, resource: object, _params: object
    ) -> None:
        """Raise Falcon's 405 for every method that the resource does not have."""
        allowed = _methods_of(resource)
        if req.method not in allowed:
            raise falcon.HTTPMethodNotAllowed(allowed)


@lru_cache(maxsize=32)
def _methods_of(resource: object) -> tuple[str, ...]:
    return tuple(m for m in falcon.HTTP_METHODS if hasattr(resource, f"on_{m.lower()}"))


class Events:
    """`POST /events`: one event in, one answer once its destination has given its own."""

    def __init__(self, auth: BearerAuth, limits: Limits, pipeline: PipelineProtocol) -> None:
        self._auth = auth
        self._limits = limits
        self._pipeline = pipeline

    async def on_post(self, req: Request, resp: Response) -> None:
        """Check, read and deliver one event."""
        caller = self._auth.check(req)
        require_json(req)
        try:
            raw = await self._read(req)
        except asyncio.CancelledError:  # the server's grace period is over
            raise Rejected(ShuttingDown()) from None
        req.context.raw = raw
        asked = parameters(req.query_string, DRY_RUN, RECEIPT)
        if isinstance(asked, UnknownParameters | InvalidParameter):
            raise Rejected(asked)
        form = form_of(req.scope)
        delivery = Delivery(req.scope.get(REQUEST_ID, ""), origin="request", key_name=caller.name)
        until_s = Body.of(req).started_s + self._limits.request_timeout_s
        try:
            if asked[DRY_RUN]:
                preview = await self._pipeline.preview(raw, until_s=until_s, caller=caller)
                _answer(resp, preview, form, delivery)
                return
            req.scope[DELIVERY] = delivery
            outcome = await self._pipeline.deliver(raw, delivery, until_s=until_s, caller=caller)
        except asyncio.CancelledError:  # as above
            cut_off = delivery.outcome
            problem = cut_off.failure() if isinstance(cut_off, Failure) else CutOff()
            write(resp, failed(problem, form, delivery))
            return
        _answer(resp, outcome, form, delivery)

    async def _read(self, req: Request) -> bytes:
        limits = self._limits
        length = content_length(req)
        return await Body.of(req).read(length, limits.max_body_bytes, limits.request_timeout_s)


def _answer(
    resp: Response,
    outcome: Result[Receipt, Problem] | Result[Preview, Problem],
    form: Form,
    delivery: Delivery,
) -> None:
    """Write an outcome; a destination's failure is the operator's business, too."""
    if isinstance(outcome, Success):
        value = outcome.unwrap()
        write(resp, delivered(value, form) if isinstance(value, Receipt) else previewed(value))
        return
    problem = outcome.failure()
    if isinstance(problem, Unreachable | Refused | OutcomeUnknown):
        _LOG.warning("%s", problem)
    write(resp, failed(problem, form, delivery))


def require_json(req: Request) -> None:
    """Raise `Rejected` unless the body is plain JSON, which no other origin's page can announce."""
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != falcon.MEDIA_JSON:
        raise Rejected(UnsupportedMediaType("send the event as Content-Type: application/json"))
    if req.get_header("Content-Encoding") is not None:
        raise Rejected(UnsupportedMediaType("send the body as it is, without Content-Encoding"))


def create_app(
    pipeline: PipelineProtocol,
    limits: Limits,
    auth: BearerAuth,
    metrics: Callable[[str], tuple[bytes, str]],
    documentation: Mapping[str, object],
) -> App:
    """Return the ASGI app; *metrics* renders the counts, *documentation* has resources by path."""
    app = App()
    app.readiness = Readiness(pipeline)
    app.add_middleware([app.readiness, MethodCheck()])
    app.add_route("/events", Events(auth, limits, pipeline))
    app.add_route("/health", Health())
    app.add_route("/ready", Ready(app.readiness))
    app.add_route("/metrics", Exposition(auth, metrics))
    for path, resource in documentation.items():
        app.add_route(path, resource)
    app.set_error_serializer(serialize_error)
    app.add_error_handler(Exception, handle_bug)
    return app
