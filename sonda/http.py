"""The HTTP shell around the pipeline: `POST /events`, and the app that its resources make.

The checks come in the contract's order. The first that fails is answered: it raises `RequestRejected`, which
the one error serializer writes, or returns its `Answer`. What the pipeline returns is a `Result`. Both
kinds of failure are closed unions, and `statuses.py` is the only place that maps them to a status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import falcon.asgi
from returns.result import Success

from sonda.http_answers import Answer, write
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.long_bodies import LONG_BYTES
from sonda.rejections import InvalidParameter, ShuttingDown, UnknownParameters
from sonda.resources.errors import (
    DELIVERY,
    RequestRejected,
    handle_bug,
    requested_form,
    serialize_error,
)
from sonda.resources.exposition import Exposition
from sonda.resources.idempotency import ClosesKeys, KeyStore, fingerprint
from sonda.resources.ndjson import NDJSON, LineLimits
from sonda.resources.pipeline import PipelineProtocol
from sonda.resources.probes import Health, Readiness, Ready
from sonda.resources.request import (
    BODY,
    BODY_IS_WHOLE,
    DRY_RUN,
    HEAD_FACTS,
    RECEIPT,
    BearerAuth,
    Body,
    EventHead,
    HeadFacts,
    Message,
    Receive,
    event_headers,
    parameters,
)
from sonda.resources.router import Router
from sonda.resources.work import (
    Asked,
    ManyEvents,
    OneEvent,
    cut_off,
    many_events,
    not_delivered,
    one_event,
    work_once,
)

Request: TypeAlias = falcon.asgi.Request
Response: TypeAlias = falcon.asgi.Response
REQUEST_ID: Final = "sonda.id"
"""Where a request's scope keeps its id."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What bounds one request."""

    request_timeout_s: float
    max_body_bytes: int
    max_batch_events: int = 10_000
    max_batch_bytes: int = 16 * 1024 * 1024


class App(falcon.asgi.App[Request, Response]):
    """A Falcon app that routes a request before its body has arrived.

    Falcon waits for the first bytes of the body before it routes. A client that keeps them back
    would be out of reach of every check and time-out, so Falcon is told that there are none yet.
    """

    readiness: Readiness
    _loop: asyncio.AbstractEventLoop | None = None
    """The one that serves: before Python 3.12 each question which one runs is a system call."""

    async def __call__(  # type: ignore[override]  # as in Falcon, whose ASGI app extends its WSGI app
        self, scope: dict[str, Any], receive: Receive, send: Callable[..., Any]
    ) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.get_running_loop()
        scope[BODY] = Body(receive, loop.time(), is_whole=scope.get(BODY_IS_WHOLE, False))
        try:
            await super().__call__(scope, _nothing_yet, send)
        finally:
            del scope[BODY]  # breaks a reference cycle


async def _nothing_yet() -> Message:
    return {"type": "http.request", "body": b"", "more_body": True}


class Events:
    """`POST /events`: one event or many, answered once their destinations have answered."""

    def __init__(
        self,
        auth: BearerAuth,
        limits: RequestLimits,
        pipeline: PipelineProtocol,
        keys: KeyStore | None = None,
    ) -> None:
        self._auth = auth
        self._limits = limits
        self._pipeline = pipeline
        self._keys = keys

    async def on_post(self, req: Request, resp: Response) -> None:
        """Check, read and deliver what the body holds."""
        scope, limits = req.scope, self._limits
        caller = self._auth.check(req)
        facts: HeadFacts = scope.get(HEAD_FACTS) or HeadFacts()
        head = facts.event
        media_type, key = (head.media_type, head.key) if head else event_headers(req)
        body: Body = scope[BODY]
        most, flag = limits.max_body_bytes, "--max-body-bytes"
        if media_type == NDJSON:
            most, flag = limits.max_batch_bytes, "--max-batch-bytes"
        length = req.get_header("Content-Length")
        try:
            raw = await body.read(length, most, limits.request_timeout_s, flag)
        except asyncio.CancelledError:  # the server's grace period is over
            raise RequestRejected(ShuttingDown()) from None
        req.context.raw = raw
        if head is None:
            head = facts.event = _event_head(req, media_type, key)
        until_s = body.started_s + limits.request_timeout_s
        own_id: str = scope.get(REQUEST_ID, "")
        if not head.is_plain or len(raw) >= LONG_BYTES:
            asked = Asked(raw, head.form, caller, until_s, own_id)
            write(resp, await self._work(req, asked, head))
            return
        delivery = Delivery(own_id, origin="request", key_name=caller.name)
        scope[DELIVERY] = delivery
        try:
            outcome = await self._pipeline.deliver(raw, delivery, until_s=until_s, caller=caller)
        except asyncio.CancelledError:  # the server's grace period is over
            write(resp, cut_off(head.form, delivery))
            return
        if isinstance(outcome, Success):
            resp.data = outcome.unwrap().answer(with_receipt=head.wanted[RECEIPT])  # 200, in JSON
        else:
            write(resp, not_delivered(outcome.failure(), head.form, delivery))

    async def _work(self, req: Request, asked: Asked, head: EventHead) -> Answer:
        """Return the answer to many events, a long one, a dry run, or a request with a key."""
        if head.media_type == NDJSON:
            limits = LineLimits(self._limits.max_batch_events, self._limits.max_body_bytes)
            work: OneEvent | ManyEvents = await many_events(self._pipeline, asked, limits)
        else:
            work = one_event(self._pipeline, asked)
            if not head.wanted[DRY_RUN]:  # of which the log tells no outcome
                req.scope[DELIVERY] = work.delivery
        if head.wanted[DRY_RUN]:
            return await work.preview()
        if head.key is None:
            return await work.deliver()
        named = fingerprint(asked.raw, head.media_type, req.query_string)
        return await work_once(work, asked, self._keys, head.key, named)


def _event_head(req: Request, media_type: str, key: str | None) -> EventHead:
    """Return what a head says; raise `RequestRejected` for what is wrong with its query."""
    wanted = parameters(req.query_string, DRY_RUN, RECEIPT)
    if isinstance(wanted, UnknownParameters | InvalidParameter):
        raise RequestRejected(wanted)
    is_plain = media_type != NDJSON and key is None and not wanted[DRY_RUN]
    return EventHead(media_type, key, wanted, requested_form(req.scope), is_plain)


def create_app(
    pipeline: PipelineProtocol,
    limits: RequestLimits,
    auth: BearerAuth,
    metrics: Callable[[str], tuple[bytes, str]],
    documentation: Mapping[str, object],
    keys: KeyStore | None = None,
) -> App:
    """Return the ASGI app; *metrics* renders the counts, *documentation* has resources by path.

    *keys* keeps Idempotency-Keys; without it, requests that have one are 503.
    """
    app = App(router=Router())
    app.readiness = Readiness(pipeline)
    app.add_middleware(app.readiness)
    if keys is not None:
        app.add_middleware(ClosesKeys(keys))
    app.add_route("/events", Events(auth, limits, pipeline, keys))
    app.add_route("/health", Health())
    app.add_route("/ready", Ready(app.readiness))
    app.add_route("/metrics", Exposition(auth, metrics))
    for path, resource in documentation.items():
        app.add_route(path, resource)
    app.set_error_serializer(serialize_error)
    app.add_error_handler(Exception, handle_bug)
    return app
