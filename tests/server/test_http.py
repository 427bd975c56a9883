"""The HTTP shell, called as an ASGI server would, around a pipeline that does what a test says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from returns.result import Failure, Result, Success

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.long_bodies import Validated
from sonda.pipeline.model import Confirmed, EncodedEvent, Receipt
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import (
    DestinationBusy,
    Forbidden,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    ValidationIssue,
    missing_extra,
)
from sonda.pipeline.wire_preview import Preview, WirePreview
from sonda.server.app import ServerApp, assemble
from sonda.server.settings import Settings
from sonda.statuses import http_status

RECEIPT: Final = Receipt("logs", Confirmed.ACCEPTED, time_ns=1, tries=1, latency_us=7999)
PREVIEW: Final = Preview(
    "logs", "json_lines", "stdout", 1, WirePreview("stdout", "one line", b"hello\n")
)
DISCONNECT: Final = {"type": "http.disconnect"}
Outcome = Result[Receipt, Problem]
Headers = list[tuple[bytes, bytes]]
JSON: Final = (b"content-type", b"application/json")


@dataclass
class Pipe:
    """A pipeline of which the test says what it does with an event; it keeps what it gets."""

    does: Callable[[], Coroutine[Any, Any, Outcome]] | None = None
    gives: Outcome = field(default_factory=lambda: Success(RECEIPT))
    shows: Result[Preview, Problem] = field(default_factory=lambda: Success(PREVIEW))
    got: list[bytes] = field(default_factory=list)
    previewed: list[bytes] = field(default_factory=list)
    until_s: float | None = None
    is_open: bool | None = None

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False

    def validate(self, *_: object) -> Validated:
        raise NotImplementedError

    def prepare(self, raw: bytes, *_: object, **__: object) -> Result[EncodedEvent, Problem]:
        raise NotImplementedError

    async def send_prepared(self, *_: object, **__: object) -> list[Outcome]:
        raise NotImplementedError

    async def deliver(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Outcome:
        self.got.append(raw)
        self.until_s = until_s
        return await self.does() if self.does is not None else self.gives

    async def preview(
        self,
        raw: bytes,
        _delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[Preview, Problem]:
        self.previewed.append(raw)
        self.until_s = until_s
        return self.shows


@dataclass(frozen=True)
class Reply:
    """One answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, which must be compact JSON."""
        assert self.headers["content-type"] == "application/json"
        document = json.loads(self.body)
        compact = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        assert compact.encode(errors="backslashreplace") == self.body.removesuffix(b"\n")
        return document


async def ask(
    app: ServerApp,
    method: str = "POST",
    path: str = "/events",
    *chunks: bytes,
    query: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (JSON,),
    then: Callable[[], Coroutine[Any, Any, dict[str, Any]]] | None = None,
) -> Reply:
    """Send one request; *then* goes on with the body after its chunks, which end it otherwise."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if then is None:
        messages.append({"type": "http.request", "body": b""})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        return await then() if then is not None else DISCONNECT

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": query,
        "headers": list(headers),
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    start, *rest = sent
    names = [name.decode() for name, _ in start["headers"]]
    assert len(names) == len(set(names))
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], answered, b"".join(part.get("body", b"") for part in rest))


def asked(pipe: Pipe, settings: Settings, *request: Any, **options: Any) -> Reply:
    """Send one request to an app of its own."""
    return asyncio.run(ask(assemble(settings, pipe), *request, **options))


def assert_refused(reply: Reply, status: int, error: str, detail: str | None = None) -> None:
    """Expect the envelope."""
    assert reply.status == status
    assert list(reply.document) == ["error", "detail"]
    assert reply.body.endswith(b"}\n")
    assert reply.document["error"] == error
    assert reply.document["detail"] == (detail or reply.document["detail"])
    assert reply.document["detail"]


async def never() -> Any:
    """Wait for ever."""
    await asyncio.Event().wait()


async def hang_up() -> dict[str, Any]:
    """Say that the client has gone."""
    return DISCONNECT


def test_a_receipt_is_200() -> None:
    """The answer is compact, in the contract's order, its latency floored to milliseconds."""
    pipe = Pipe()
    reply = asked(pipe, Settings(), "POST", "/events", b'{"a"', b":1}")
    assert reply.status == 200
    assert reply.body == b'{"sent":true,"signal_type":"logs","latency_ms":7}\n'
    assert reply.headers["content-type"] == "application/json"
    assert pipe.got == [b'{"a":1}']


def test_warnings_are_answered() -> None:
    """Each warning stands in the answer, as UTF-8."""
    pipe = Pipe(gives=Success(structs.replace(RECEIPT, warnings=("für —", "two"))))
    reply = asked(pipe, Settings())
    assert reply.body.endswith('"latency_ms":7,"warnings":["für —","two"]}\n'.encode())


PROBLEMS: Final[list[tuple[Problem, int, str]]] = [
    (NotJson("why"), 400, "bad_request"),
    (
        Malformed((ValidationIssue("log", "why"), ValidationIssue("", "é\ud800"))),
        400,
        "bad_request",
    ),
    (Forbidden("what", "remedy"), 403, "forbidden"),
    (Invalid((missing_extra("sink", "kafka", "kafka"),)), 422, "unprocessable_entity"),
    (DestinationBusy("tcp:1", 512), 503, "service_unavailable"),
    (Unreachable("TCP connect to 127.0.0.1:1", "Connection refused"), 502, "bad_gateway"),
    (Refused("http://loki", "500 Oops"), 502, "bad_gateway"),
    (OutcomeUnknown("http://loki", "within 10s", 1), 504, "gateway_timeout"),
]


@pytest.mark.parametrize(("problem", "status", "error"), PROBLEMS)
def test_problems_have_their_status(
    problem: Problem, status: int, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The envelope quotes the problem; what a destination did is logged, too."""
    assert_refused(asked(Pipe(gives=Failure(problem)), Settings()), status, error, str(problem))
    assert http_status(problem) == status
    logged = [("sonda", logging.WARNING, str(problem))] if status in (502, 504) else []
    assert caplog.record_tuples == logged


@pytest.mark.parametrize("path", ["/", "/event", "/events/", "/events/1", "/\x1b[31m\n", "*", "é"])
def test_other_paths_are_404(path: str) -> None:
    """The detail names the path, on one line, and what there is instead."""
    reply = asked(Pipe(), Settings(), "POST", path)
    assert_refused(reply, 404, "not_found")
    assert reply.document["detail"].isprintable()
    there = ["POST /events", "POST /scenarios", "GET /destinations", "GET /health", "GET /ready"]
    there += ["GET /metrics", "GET /openapi.json", "GET /docs"]
    found = reply.document["detail"].replace("GET and POST", "POST")
    assert [name for name in there if name not in found] == []


def test_long_paths_are_cut() -> None:
    """The detail does not grow with the path."""
    reply = asked(Pipe(), Settings(), "GET", "/" + "a" * 10_000)
    assert_refused(reply, 404, "not_found")
    assert len(reply.body) < 300


METHODS = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW", "post"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *((m, "/events", "POST") for m in METHODS),
        *((m, "/health", "GET, HEAD") for m in METHODS[2:]),
        ("POST", "/ready", "GET, HEAD"),
        ("PUT", "/docs", "GET, HEAD"),
        ("OPTIONS", "/openapi.json", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
        ("POST", "/destinations", "GET, HEAD"),
        ("PUT", "/scenarios", "GET, HEAD, POST"),
        ("PUT", "/scenarios/x", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/scenarios/metrics", "GET, HEAD"),
        ("POST", "/scenarios/x/metrics", "GET, HEAD"),
        ("POST", "/scenarios/x/events", "GET, HEAD"),
        ("POST", "/scenarios/x/progress", "GET, HEAD"),
    ],
)
def test_other_methods_are_405(method: str, path: str, allowed: str) -> None:
    """Every method but the right one is refused, and told which is."""
    reply = asked(Pipe(), Settings(api_key="key"), method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert reply.headers["content-type"] == "application/json"
    if method != "HEAD":
        detail = f"{method} is not allowed on {path}: use {allowed}"
        assert_refused(reply, 405, "method_not_allowed", detail)


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/ready",
        "/metrics",
        "/destinations",
        "/openapi.json",
        "/docs",
        "/docs/docs.js",
    ],
)
def test_head_is_as_get(path: str) -> None:
    """HEAD is served wherever GET is, with the same headers and no body."""

    async def both() -> tuple[Reply, Reply]:
        app = assemble(Settings(), Pipe())
        async with lifespan(app):
            got = await ask(app, "GET", path, headers=())
            return got, await ask(app, "HEAD", path, headers=())

    got, head = asyncio.run(both())
    assert (got.status, head.status, head.body) == (200, 200, b"")
    own = {"x-request-id"} | ({"content-length"} if path == "/metrics" else set())
    for name in got.headers.keys() - own:
        assert head.headers[name] == got.headers[name]


def test_health_is_public() -> None:
    """Whoever asks may know that the server is up."""
    reply = asked(Pipe(), Settings(api_key="key"), "GET", "/health", headers=[])
    assert (reply.status, reply.body) == (200, b'{"status":"ok"}')
    assert reply.headers["content-type"] == "application/json"


MISSING = "missing or malformed Authorization header"


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, MISSING),
        (b"", MISSING),
        (b"clef", MISSING),
        (b"Bearer", MISSING),
        (b"Bearer  ", MISSING),
        (b"Basic clef", MISSING),
        (b"Bearer\tclef", MISSING),
        (b"Bearer clef", "invalid API key"),
        ("Bearer clé".encode("latin-1"), "invalid API key"),
        ("Bearer clé clé".encode(), "invalid API key"),
    ],
)
def test_without_the_key_it_is_401(header: bytes | None, detail: str) -> None:
    """A missing header and a wrong key are told apart, in the contract's words."""
    pipe = Pipe()
    headers = [JSON] if header is None else [JSON, (b"authorization", header)]
    reply = asked(pipe, Settings(api_key="clé"), headers=headers)
    assert_refused(reply, 401, "unauthorized", detail)
    assert reply.headers["www-authenticate"] == "Bearer"
    assert pipe.got == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_key_opens(scheme: str) -> None:
    """The scheme may be written in any case; the key is UTF-8."""
    headers = [JSON, (b"authorization", f"{scheme} clé".encode())]
    assert asked(Pipe(), Settings(api_key="clé"), headers=headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"")],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"text/plain; application/json")],
        [(b"content-type", b"application/json-seq")],
        [(b"content-type", b"application/x-www-form-urlencoded")],
        [JSON, (b"content-encoding", b"gzip")],
        [JSON, (b"content-encoding", b"identity")],
        [JSON, (b"content-encoding", b"")],
    ],
)
def test_other_media_types_are_415(headers: Headers) -> None:
    """Only plain JSON is read."""
    pipe = Pipe()
    assert_refused(asked(pipe, Settings(), headers=headers), 415, "unsupported_media_type")
    assert pipe.got == []


@pytest.mark.parametrize(
    "media_type",
    [b"Application/JSON", b"application/json; charset=utf-8", b"application/json ;a=b"],
)
def test_json_is_json(media_type: bytes) -> None:
    """The media type may be written in any case, and have parameters."""
    assert asked(Pipe(), Settings(), headers=[(b"content-type", media_type)]).status == 200


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (b"dry=1", "unknown query parameter 'dry'"),
        (b"dry", "unknown query parameter 'dry'"),
        (b"a=1&b%0A=2", "unknown query parameter 'a'; unknown query parameter 'b\\n'"),
        (b"=1", "unknown query parameter ''"),
    ],
)
def test_query_parameters_are_400(query: bytes, detail: str) -> None:
    """A parameter that means nothing is named, not ignored."""
    pipe = Pipe()
    assert_refused(asked(pipe, Settings(), query=query), 400, "bad_request", detail)
    assert pipe.got == []


def test_a_dry_run_answers_with_the_preview() -> None:
    """Nothing is delivered; the answer says so, and what would have been."""
    pipe = Pipe()
    reply = asked(pipe, Settings(), "POST", "/events", b"{}", query=b"dry_run=true")
    assert reply.status == 200
    assert reply.document == {"sent": False, "signal_type": "logs", "preview": PREVIEW.document()}
    assert list(reply.document) == ["sent", "signal_type", "preview"]
    assert (pipe.got, pipe.previewed) == ([], [b"{}"])


def test_a_dry_run_has_the_warnings() -> None:
    """They follow the preview."""
    pipe = Pipe(shows=Success(replace(PREVIEW, warnings=("mind the gap",))))
    reply = asked(pipe, Settings(), query=b"dry_run=true")
    assert list(reply.document) == ["sent", "signal_type", "preview", "warnings"]
    assert reply.document["warnings"] == ["mind the gap"]


def test_a_dry_run_fails_as_the_real_one_would() -> None:
    """A problem has its own status."""
    pipe = Pipe(shows=Failure(Forbidden("destination x", "a flag would allow it")))
    reply = asked(pipe, Settings(), query=b"dry_run=true")
    assert_refused(reply, 403, "forbidden", "destination x; a flag would allow it")


@pytest.mark.parametrize("query", [b"dry_run=true", b"dry_run=1", b"dry_run=", b"dry_run"])
def test_a_dry_run_by_any_yes(query: bytes) -> None:
    """`1` and an empty value are read as true."""
    pipe = Pipe()
    assert asked(pipe, Settings(), "POST", "/events", b"{}", query=query).document["sent"] is False
    assert (pipe.got, pipe.previewed) == ([], [b"{}"])


@pytest.mark.parametrize("query", [b"dry_run=false", b"dry_run=0", b""])
def test_no_dry_run_delivers(query: bytes) -> None:
    """False is what it would be without the parameter."""
    pipe = Pipe()
    assert asked(pipe, Settings(), "POST", "/events", b"{}", query=query).document["sent"] is True
    assert (pipe.got, pipe.previewed) == ([b"{}"], [])


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (
            b"dry_run=2",
            "query parameter 'dry_run': unknown variant '2', expected 'true' or 'false'",
        ),
        (
            b"dry_run=True",
            "query parameter 'dry_run': unknown variant 'True', expected 'true' or 'false' (did you mean 'true'?)",
        ),
        (b"dry_run=true&dry_run=true", "query parameter 'dry_run': is given more than once"),
        (b"dry_run=true&DRY_RUN=true", "unknown query parameter 'DRY_RUN'"),
        (b"dry_run=1&x=2", "unknown query parameter 'x'"),
    ],
)
def test_a_dry_run_is_asked_for_clearly(query: bytes, detail: str) -> None:
    """Whoever may have meant a dry run must not send anything."""
    pipe = Pipe()
    assert_refused(asked(pipe, Settings(), query=query), 400, "bad_request", detail)
    assert (pipe.got, pipe.previewed) == ([], [])


LIMITED = Settings(max_body_bytes=4)


def test_the_limit_is_counted_while_reading() -> None:
    """A body without a length may have as many bytes as the limit, and not one more."""
    pipe = Pipe()
    assert asked(pipe, LIMITED, "POST", "/events", b"12", b"34").status == 200
    reply = asked(pipe, LIMITED, "POST", "/events", b"12", b"345", then=never)
    assert_refused(reply, 413, "payload_too_large", "the body is over 4 bytes (--max-body-bytes)")
    assert pipe.got == [b"1234"]


def test_an_announced_body_over_the_limit_is_not_awaited() -> None:
    """The length alone is enough to refuse."""
    headers = [JSON, (b"content-length", b"5")]
    reply = asked(Pipe(), LIMITED, "POST", "/events", headers=headers, then=never)
    assert_refused(reply, 413, "payload_too_large")


def test_no_body_is_an_empty_body() -> None:
    """A POST without any length goes to the pipeline, which refuses it."""
    pipe = Pipe()
    assert asked(pipe, Settings()).status == 200
    assert pipe.got == [b""]


@pytest.mark.parametrize("length", [b"3", b"1"])
def test_a_body_of_another_length_is_not_sent(length: bytes) -> None:
    """What does not have its announced length is not looked at."""
    pipe = Pipe()
    headers = [JSON, (b"content-length", length)]
    reply = asked(pipe, Settings(), "POST", "/events", b"{}", headers=headers)
    assert_refused(reply, 400, "bad_request")
    assert pipe.got == []


@pytest.mark.parametrize(("zeros", "body"), [(5_000, b"{}"), (5_000, b""), (1, b"{}"), (1, b"")])
def test_a_length_may_start_with_zeros(zeros: int, body: bytes) -> None:
    """HTTP allows them in any number."""
    pipe = Pipe()
    headers = [JSON, (b"content-length", b"%b%d" % (b"0" * zeros, len(body)))]
    assert asked(pipe, Settings(), "POST", "/events", body, headers=headers).status == 200
    assert pipe.got == [body]


def test_a_body_that_ends_with_a_disconnect_is_not_sent() -> None:
    """A whole event is not delivered when the client was cut off before the body's end."""
    pipe = Pipe()
    asked(pipe, Settings(), "POST", "/events", b"{}", then=hang_up)
    assert pipe.got == []


def test_a_body_that_does_not_come_is_408() -> None:
    """The time-out counts from the start of the request."""
    pipe = Pipe()
    reply = asked(pipe, Settings(request_timeout_s=0.01), "POST", "/events", b"{", then=never)
    detail = "the body did not arrive within 0.01s (--request-timeout)"
    assert_refused(reply, 408, "request_timeout", detail)
    assert pipe.got == []


def test_a_body_that_is_there_is_never_408() -> None:
    """A body that arrives in the turn in which the time is up is taken."""
    pipe = Pipe()

    async def just_in_time() -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        if not arriving:
            readable, writable = os.pipe()
            arriving.append(asyncio.Event())
            loop.add_reader(readable, arriving[0].set)
            os.write(writable, b"!")
            time.sleep(0.02)  # noqa: ASYNC251  # the loop is busy until both are due
            os.close(writable)
            arriving.append(readable)
        await arriving[0].wait()
        loop.remove_reader(arriving[1])
        os.close(arriving[1])
        return {"type": "http.request", "body": b"{}"}

    arriving: list[Any] = []

    assert asked(pipe, Settings(request_timeout_s=0.01), then=just_in_time).status == 200


def test_a_delivery_past_the_timeout_is_not_408() -> None:
    """Once the body has arrived the pipeline has the last word; it is told when time is up."""
    settings = Settings(request_timeout_s=0.5)

    async def deliver() -> Outcome:
        assert pipe.until_s is not None
        time_is_up = asyncio.Event()
        asyncio.get_running_loop().call_at(pipe.until_s, time_is_up.set)
        await time_is_up.wait()
        return Success(RECEIPT)

    pipe = Pipe(deliver)
    assert asked(pipe, settings).status == 200


ORDER: Final[list[tuple[str, dict[str, Any]]]] = [
    ("not_found", {"path": "/nowhere"}),
    ("method_not_allowed", {"method": "PUT"}),
    ("unauthorized", {"key": None}),
    ("unsupported_media_type", {"media_type": b"text/plain"}),
    ("payload_too_large", {"body": b"12345"}),
    ("bad_request", {"query": b"a=b"}),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_order_of_checks(first: int) -> None:
    """Of all that is wrong, what the contract checks first is answered."""
    wrong: dict[str, Any] = {}
    for _, change in ORDER[first:]:
        wrong |= change
    key = wrong.get("key", b"Bearer key")
    headers = [(b"content-type", wrong.get("media_type", JSON[1]))]
    headers += [(b"authorization", key)] if key else []
    reply = asked(
        Pipe(),
        replace(LIMITED, api_key="key"),
        wrong.get("method", "POST"),
        wrong.get("path", "/events"),
        wrong.get("body", b"1"),
        query=wrong.get("query", b""),
        headers=headers,
    )
    assert reply.document["error"] == ORDER[first][0]


def test_too_many_requests_are_503() -> None:
    """What comes on top of the limit is refused at once, before anything else; health is not."""

    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def deliver() -> Outcome:
            begun.set()
            await go_on.wait()
            return Success(RECEIPT)

        app = assemble(Settings(max_inflight_requests=1), Pipe(deliver))
        first = asyncio.create_task(ask(app))
        await begun.wait()
        for path in ("/events", "/nowhere"):
            reply = await ask(app, "POST", path)
            assert_refused(reply, 503, "service_unavailable")
            assert reply.headers["retry-after"] == "1"
        assert (await ask(app, "GET", "/health")).status == 200
        go_on.set()
        assert (await first).status == 200
        assert (await ask(app)).status == 200

    asyncio.run(scenario())


def test_a_bug_is_500(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback is logged; the answer names the exception but not its message."""

    async def deliver() -> Outcome:
        raise KeyError("secret")

    reply = asked(Pipe(deliver), Settings())
    assert_refused(reply, 500, "internal_server_error", "runtime error: KeyError")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("sonda", "ERROR")
    assert "Traceback" in caplog.text
    assert "KeyError: 'secret'" in caplog.text


@pytest.mark.parametrize(
    ("chunks", "status", "error"),
    [((b"{}",), 504, "gateway_timeout"), ((), 503, "service_unavailable")],
)
def test_the_end_of_the_grace_period(chunks: tuple[bytes, ...], status: int, error: str) -> None:
    """A request that the server cuts off is answered: unknown, or not begun if still arriving."""

    async def scenario() -> Reply:
        waiting = asyncio.Event()

        async def wait() -> Any:
            waiting.set()
            await never()

        app = assemble(Settings(), Pipe(wait))
        then = None if chunks else wait
        request = asyncio.create_task(ask(app, "POST", "/events", *chunks, then=then))
        await waiting.wait()
        request.cancel()
        return await request

    assert_refused(asyncio.run(scenario()), status, error)


@asynccontextmanager
async def lifespan(app: ServerApp) -> AsyncIterator[None]:
    """Start and stop an app as a server does."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
    running = asyncio.create_task(app(scope, to_app.get, from_app.put))
    to_app.put_nowait({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}
    yield
    to_app.put_nowait({"type": "lifespan.shutdown"})
    assert await from_app.get() == {"type": "lifespan.shutdown.complete"}
    await running


def test_the_pipeline_lives_as_long_as_the_server() -> None:
    """It is opened at the start, serves, and is closed at the end."""

    async def scenario() -> None:
        pipe = Pipe()
        app = assemble(Settings(), pipe)
        assert pipe.is_open is None
        async with lifespan(app):
            assert pipe.is_open is True
            assert (await ask(app)).status == 200
        assert pipe.is_open is False

    asyncio.run(scenario())


def test_the_server_s_own_pipeline() -> None:
    """Without another the app has the real one, which knows that it is in a server."""

    async def scenario() -> None:
        app = assemble(Settings())
        async with lifespan(app):
            assert_refused(await ask(app, "POST", "/events", b"{"), 400, "bad_request")

    asyncio.run(scenario())


names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(
    method=names | st.sampled_from([*METHODS, "POST"]),
    path=st.text() | st.sampled_from(["/events", "/health"]),
    query=st.text(st.characters(codec="ascii")).map(str.encode),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"content-type", b"authorization", b"content-encoding", b"accept"]),
            st.binary() | st.sampled_from([b"application/json", b"Bearer key"]),
        )
    ),
    chunks=st.lists(st.binary()),
)
def test_every_answer_has_the_contract_s_shape(
    method: str, path: str, query: bytes, headers: Headers, chunks: list[bytes]
) -> None:
    """Whatever is asked, the answer is JSON: a success, or the envelope."""
    settings = Settings(api_key="key", max_body_bytes=20)
    reply = asked(Pipe(), settings, method, path, *chunks, query=query, headers=headers)
    assert reply.headers["content-type"] == "application/json"
    if reply.status != 200 and method != "HEAD":
        assert list(reply.document) == ["error", "detail"]
