"""The HTTP shell around the pipeline: `POST /events`, probes, metrics and documentation.

The checks come in the contract's order: 503, 403 for the `Host`, 404 and 405, 401, 415, 413 and
408, 400. The first that fails raises `Rejected`; what the pipeline says comes back as its
`Result`. Both kinds of failure are closed unions, and `statuses.py` is the only place where one
meets a status.
"""

from __future__ import annotations

import asyncio
import gzip
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import lru_cache
from types import coroutine
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import falcon
import falcon.asgi
from msgspec import Struct
from prometheus_client.exposition import gzip_accepted
from returns.result import Result

from sonda.envelope import compact, envelope
from sonda.observe.access_log import log_warning
from sonda.observe.metrics import Metrics
from sonda.pipeline.course import DELIVERY_PROGRESS, DeliveryProgress
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.interruption import what_became
from sonda.pipeline.model import Preview, Receipt
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.resolve import listening_on
from sonda.pipeline.policy.destinations import Policy
from sonda.pipeline.problems import (
    DestinationBusy,
    Problem,
)
from sonda.pipeline.result import fold
from sonda.pipeline.schemas.issues import unknown_variant
from sonda.pipeline.text.redact import secrets_of_body, secrets_of_headers
from sonda.pipeline.values.addresses import Address, is_loopback
from sonda.rejections import (
    Bug,
    Busy,
    CutOff,
    CutShort,
    ForbiddenHost,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    Rejection,
    RequestTimeout,
    ShuttingDown,
    Unauthorized,
    UnknownParameters,
    UnsupportedMediaType,
)
from sonda.server.docs.page import add_documentation
from sonda.server.host_check import HostCheck
from sonda.server.request_id import ID, WAY
from sonda.server.settings import Settings
from sonda.statuses import http_status

T = TypeVar("T")

Message: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

Request: TypeAlias = falcon.asgi.Request
Response: TypeAlias = falcon.asgi.Response

_HEALTH: Final = "/health"
_READY: Final = "/ready"
_METRICS: Final = "/metrics"
_PROBES: Final = frozenset({_HEALTH, _READY, _METRICS})  # how it is, most of all when it is busy
_WORTH_SHARING: Final = 16
_ARRIVAL: Final = "sonda.arrival"
_DRY_RUN: Final = "dry_run"
_LOG: Final = logging.getLogger("sonda")


class Rejected(Exception):  # noqa: N818  # it is how a check says no, not an error
    """How a check ends a request; Falcon hands it to the handler that answers."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection


class PipelineProtocol(AbstractAsyncContextManager[object], Protocol):
    """The pipeline, as far as the shell knows it."""

    async def deliver(
        self, raw: bytes, *, until_s: float | None = None
    ) -> Result[Receipt, Problem]:
        """Deliver one event before the event loop's time *until_s*.

        Cancelled, it says by the cancellation what has become of the event (`what_became`).
        """
        ...

    async def preview(
        self, raw: bytes, *, until_s: float | None = None
    ) -> Result[Preview, Problem]:
        """Say what would be sent."""
        ...


class Answer(Struct, frozen=True):
    """An answer, always in JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


def http_headers(problem: Problem | Rejection) -> Mapping[str, str]:
    """Give a failure the headers that HTTP wants with its status."""
    match problem:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed(allowed=allowed):
            return {"Allow": allowed}
        case Busy() | ShuttingDown() | NotReady() | DestinationBusy():
            return {"Retry-After": "1"}
        case _:
            return {}


def accepted(receipt: Receipt) -> Answer:
    """Answer that the destination said yes."""
    latency_ms = receipt.latency_us // 1000
    document: dict[str, object] = {
        "sent": True,
        "signal_type": receipt.signal_type,
        "latency_ms": latency_ms,
    }
    if receipt.warnings:
        document["warnings"] = receipt.warnings
    return Answer(200, compact(document))


def previewed(preview: Preview) -> Answer:
    """Answer a dry run: what would have been sent."""
    return Answer(200, compact(preview.answer()))


def refused(problem: Problem | Rejection) -> Answer:
    """Answer what went wrong; a destination's failure is the operator's business, too."""
    status = http_status(problem)
    if status in (502, 504):
        _LOG.warning("%s", problem)
    return Answer(status, envelope(status, str(problem)), http_headers(problem))


class Arrival(NamedTuple):
    """What Falcon does not keep of a request; *started_s* is a time of the event loop."""

    receive: Receive
    started_s: float
    inflight: int

    @staticmethod
    def of(req: Request) -> Arrival:
        """Find the arrival that came with Falcon's request."""
        arrival: Arrival = req.scope[_ARRIVAL]
        return arrival


class App(falcon.asgi.App[Request, Response]):
    """A Falcon app that counts its requests, and looks at one before its body has arrived.

    Falcon waits for the first bytes of the body before it routes. A client that keeps them back
    would be out of reach of every check and time-out, so Falcon is told that there are none yet.
    """

    is_ready = False
    """Whether events are welcome: the pipeline is open, and nobody has told the server to stop."""
    _inflight = 0
    metrics: Metrics

    async def __call__(  # type: ignore[override]  # as in Falcon, whose ASGI app extends its WSGI app
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve one ASGI scope; probes are not counted."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        counted = scope["path"] not in _PROBES
        self._inflight += counted
        self.metrics.inflight(self._inflight)
        started_s = asyncio.get_running_loop().time()
        scope[_ARRIVAL] = Arrival(receive, started_s, self._inflight if counted else 0)
        try:
            await super().__call__(scope, _nothing_yet, send)
        finally:
            del scope[_ARRIVAL]  # it leads back here: a circle that only the collector could free
            self._inflight -= counted
            self.metrics.inflight(self._inflight)


class AdmissionMiddleware:
    """Falcon middleware for what does not depend on the resource: 503, the `Host`'s 403, 405."""

    def __init__(self, max_inflight_requests: int, host_check: HostCheck | None) -> None:
        self._limit = max_inflight_requests
        self._host_check = host_check

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Turn away what comes on top of the requests in flight, and what a web page may send."""
        if Arrival.of(req).inflight > self._limit:
            raise Rejected(Busy(self._limit))
        if self._host_check is not None and req.path != _HEALTH:
            for name, value in req.scope["headers"]:
                if name == b"host" and not self._host_check.passes(value):
                    raise Rejected(ForbiddenHost(value.decode("latin-1")))

    async def process_resource(
        self, req: Request, _resp: Response, resource: object, _params: object
    ) -> None:
        """Refuse every method that the resource does not have; Falcon would serve OPTIONS."""
        allowed = _methods_of(resource)
        if req.method not in allowed:
            raise Rejected(MethodNotAllowed(req.method, req.path, ", ".join(allowed)))


@lru_cache(maxsize=8)
def _methods_of(resource: object) -> list[str]:
    return [m for m in falcon.HTTP_METHODS if hasattr(resource, f"on_{m.lower()}")]


class Lifespan:
    """Falcon middleware that opens the pipeline with the server, and closes it."""

    def __init__(self, app: App, pipeline: PipelineProtocol) -> None:
        self._app = app
        self._pipeline = pipeline
        self._stack = AsyncExitStack()

    async def process_startup(self, _scope: Message, _event: Message) -> None:
        """Open the pools."""
        await self._stack.enter_async_context(self._pipeline)
        self._app.is_ready = True

    async def process_shutdown(self, _scope: Message, _event: Message) -> None:
        """Close the pools."""
        self._app.is_ready = False
        await self._stack.aclose()


class Health:
    """`GET /health`."""

    async def on_get(self, _req: Request, resp: Response) -> None:
        """Say that the server is up."""
        _write(resp, Answer(200, compact({"status": "ok"})))


class Ready:
    """`GET /ready`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def on_get(self, _req: Request, resp: Response) -> None:
        """Say whether the server takes events."""
        if not self._app.is_ready:
            raise Rejected(NotReady())
        _write(resp, Answer(200, compact({"status": "ready"})))


class Exposition:
    """`GET /metrics`, for Prometheus."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    async def on_get(self, req: Request, resp: Response) -> None:
        """Tell what all workers have counted, compressed for whoever takes that."""
        require_key(req, self._settings.api_key)
        refuse_parameters(req)
        body, resp.content_type = self._metrics.answer(req.get_header("Accept") or "")
        resp.set_header("Vary", "Accept, Accept-Encoding")
        if gzip_accepted(req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            body = gzip.compress(body)
        resp.data = body


class Events:
    """`POST /events`: one event in, one answer once its destination has given its own."""

    def __init__(self, settings: Settings, pipeline: PipelineProtocol) -> None:
        self._settings = settings
        self._pipeline = pipeline

    async def on_post(self, req: Request, resp: Response) -> None:
        """Check, read and deliver one event."""
        require_key(req, self._settings.api_key)
        require_json(req)
        until_s = Arrival.of(req).started_s + self._settings.request_timeout_s
        body_arrived = False
        try:
            raw = await self._read_body(req, until_s)
            body_arrived, req.context.raw = True, raw
            if is_dry_run(req):
                shown = await self._pipeline.preview(raw, until_s=until_s)
                _write(resp, fold(shown, previewed, refused))
                return
            begin_delivery(req)
            outcome = await self._pipeline.deliver(raw, until_s=until_s)
        except asyncio.CancelledError as exc:  # the server's grace period is over
            if not body_arrived:
                raise Rejected(ShuttingDown()) from None
            _write(resp, refused(what_became(exc) or CutOff()))
            return
        _write(resp, fold(outcome, accepted, refused))

    async def _read_body(self, req: Request, until_s: float) -> bytes:
        """Read the whole body, in time and within its limit."""
        limit_bytes = self._settings.max_body_bytes
        length = content_length(req)
        if length is not None and length > limit_bytes:
            raise Rejected(PayloadTooLarge(limit_bytes))
        reading = collect(Arrival.of(req).receive, limit_bytes)
        try:
            awaited = reading.send(None)  # a task and a clock cost more than all that precedes
        except StopIteration as whole:  # nearly always: the body came along with its head
            raw: bytes = whole.value
        else:
            raw = await self._in_time(_go_on(reading, awaited), until_s)
        if length is not None and len(raw) != length:
            raise Rejected(CutShort())
        return raw

    async def _in_time(self, body: Coroutine[Any, Any, bytes], until_s: float) -> bytes:
        """Await a body that is still arriving.

        `asyncio.timeout` would throw away a body that arrives in the same turn of the loop in
        which the time is up; `asyncio.wait` looks at what is done when it wakes up.
        """
        reading = asyncio.ensure_future(body)
        try:
            left_s = until_s - asyncio.get_running_loop().time()
            await asyncio.wait({reading}, timeout=left_s)
            if not reading.done():
                raise Rejected(RequestTimeout(self._settings.request_timeout_s))
            return reading.result()
        finally:
            reading.cancel()


@coroutine
def _go_on(begun: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Await what a coroutine that has *begun* is waiting for, and then let it go on."""
    try:
        yield awaited
        raw: T = yield from begun
        return raw
    finally:
        begun.close()


async def collect(receive: Receive, limit_bytes: int) -> bytes:
    """Put a body together; Falcon's stream would take a disconnect for its end."""
    raw = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Rejected(CutShort())
        raw += message.get("body", b"")
        if len(raw) > limit_bytes:
            raise Rejected(PayloadTooLarge(limit_bytes))
        more = message.get("more_body", False)
    return bytes(raw)


def require_key(req: Request, api_key: str) -> None:
    """Let a request pass that carries the key, if there is one to carry."""
    if not api_key:
        return
    scheme, _, given = (req.get_header("Authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip(" "):
        raise Rejected(Unauthorized("missing or malformed Authorization header"))
    if not hmac.compare_digest(given.strip(" ").encode("latin-1"), api_key.encode()):
        raise Rejected(Unauthorized("invalid API key"))


def require_json(req: Request) -> None:
    """Let plain JSON pass; a page of another origin cannot announce it without a preflight."""
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != falcon.MEDIA_JSON:
        raise Rejected(UnsupportedMediaType("send the event as Content-Type: application/json"))
    if req.get_header("Content-Encoding") is not None:
        raise Rejected(UnsupportedMediaType("send the body as it is, without Content-Encoding"))


def content_length(req: Request) -> int | None:
    """Read the length that the client announced; a server lets only digits through, 64 bits' worth.

    Any number of zeros may stand in front, but `int` takes no more than 4,300 digits.
    """
    announced = req.get_header("Content-Length")
    return int(announced.lstrip("0") or "0") if announced else None


def refuse_parameters(req: Request, *but: str) -> list[str]:
    """Refuse every parameter *but* these, whose values come back: none may be ignored."""
    pairs = parse_qsl(req.query_string, keep_blank_values=True) if req.query_string else []
    if unknown := tuple(name for name, _ in pairs if name not in but):
        raise Rejected(UnknownParameters(unknown))
    return [value for _, value in pairs]


def is_dry_run(req: Request) -> bool:
    """Read the parameter `dry_run`, the only one that there may be."""
    given = refuse_parameters(req, _DRY_RUN) or ["false"]
    if len(given) > 1:
        raise Rejected(InvalidParameter(_DRY_RUN, "is given more than once"))
    if given[0] not in ("true", "false"):
        reason = unknown_variant(given[0], ("true", "false"))
        raise Rejected(InvalidParameter(_DRY_RUN, reason))
    return given[0] == "true"


def share_of(max_inflight_requests: int) -> int | None:
    """Leave half of the places to others than one destination, where there are enough to share."""
    return max_inflight_requests // 2 if max_inflight_requests >= _WORTH_SHARING else None


def begin_delivery(req: Request) -> None:
    """Have the pipeline write down how far the event comes, for its line in the log."""
    course = DeliveryProgress(req.scope.get(ID, ""))
    req.scope[WAY] = course
    DELIVERY_PROGRESS.set(course)


def create_app(
    settings: Settings,
    pipeline: PipelineProtocol | None = None,
    listening: Sequence[Address] = (),
    metrics: Metrics | None = None,
) -> App:
    """Make the ASGI app; without a *pipeline* it opens its own, confined as the settings say.

    *listening* is what the server really listens on: one address may have several, and a free port.
    """
    listening = listening or [Address(settings.bind, settings.port)]
    metrics = metrics or Metrics()
    if pipeline is None:
        policy = Policy(settings.allow_destination, listening_on(listening))
        confinement = AccessPolicy(settings.file_root, settings.tls_root, policy)
        pipeline = Pipeline(
            confinement=confinement,
            in_server=True,
            share=share_of(settings.max_inflight_requests),
            warn=log_warning,
            observer=metrics,
        )
    is_local = all(is_loopback(address.host) for address in listening)
    host_check = HostCheck(settings.allow_host) if is_local and not settings.api_key else None
    app = App()
    doorman = AdmissionMiddleware(settings.max_inflight_requests, host_check)
    app.add_middleware([Lifespan(app, pipeline), doorman])
    app.metrics = metrics
    app.add_route("/events", Events(settings, pipeline))
    app.add_route(_HEALTH, Health())
    app.add_route(_READY, Ready(app))
    app.add_route(_METRICS, Exposition(settings, metrics))
    add_documentation(app, http_status)
    app.add_error_handler(Rejected, _answer_rejected)
    app.add_error_handler(falcon.HTTPError, _answer_unroutable)
    app.add_error_handler(Exception, _answer_bug)
    return app


async def _answer_rejected(_req: Request, resp: Response, error: Rejected, _params: object) -> None:
    _write(resp, refused(error.rejection))


async def _answer_unroutable(
    req: Request, resp: Response, _error: falcon.HTTPError, _params: object
) -> None:
    """Answer where Falcon's router gives up; nothing else here raises one of Falcon's errors."""
    _write(resp, refused(NotFound(req.path)))


async def _answer_bug(req: Request, resp: Response, error: Exception, _params: object) -> None:
    secrets = secrets_of_body(getattr(req.context, "raw", b""))  # the exception may quote them
    key = tuple(secrets_of_headers({"Authorization": req.get_header("Authorization") or ""}))
    told = {"secrets": secrets + key}
    _LOG.error("a bug: this request is answered with 500", exc_info=error, extra=told)
    _write(resp, refused(Bug(type(error).__name__)))


def _write(resp: Response, answer: Answer) -> None:
    resp.status = answer.status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = answer.body
    if answer.headers:
        resp.set_headers(answer.headers)


async def _nothing_yet() -> Message:
    return {"type": "http.request", "body": b"", "more_body": True}
