"""How events leave the command line: through a pipeline of its own, or through a running server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from ssl import SSLContext
from typing import Any, Final, TypeAlias

from sonda.cli.addressing import Addressed
from sonda.cli.interruption import run_until_interrupted
from sonda.cli.outcomes import (
    EVENT_FAULTS,
    Exit,
    Outcome,
    answered,
    delivered,
    delivered_through,
    exit_status,
    failed,
    previewed,
    redacted,
)
from sonda.cli.reading import compact
from sonda.library import deliver, each, preview
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.events import to_json
from sonda.pipeline.model import Preview
from sonda.pipeline.net.proxies import Proxies
from sonda.pipeline.net.sockets import words
from sonda.pipeline.result import fold
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate

CONNECT_S: Final = 10.0
ANSWER_S: Final = 120.0  # longer than a server's --request-timeout mostly is

Send: TypeAlias = Callable[[Addressed], Awaitable[Outcome]]
Way: TypeAlias = AbstractAsyncContextManager[Send]


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, and how to reach it."""

    url: str
    api_key: str = field(repr=False)
    trusted: SSLContext
    proxy_from_env: bool


@asynccontextmanager
async def local(proxies: Proxies | None = None) -> AsyncIterator[Send]:
    """Deliver in this process, through *proxies* where a sink speaks HTTP."""
    async with Pipeline(proxies=proxies) as pipeline:

        async def send(addressed: Addressed) -> Outcome:
            result = await deliver(pipeline, addressed.event, timeout=addressed.timeout)
            return fold(
                result,
                partial(delivered, target=addressed.target),
                partial(failed, said=addressed.words),
            )

        yield send


@asynccontextmanager
async def dry_run() -> AsyncIterator[Send]:
    """Send nothing, and return what would be sent from this process."""

    async def send(addressed: Addressed) -> Outcome:
        return fold(
            preview(addressed.event).map(Preview.answer),
            partial(previewed, target=addressed.target),
            partial(failed, said=addressed.words),
        )

    yield send


@asynccontextmanager
async def remote(connection: Connection, *, dry_run: bool = False) -> AsyncIterator[Send]:
    """Deliver through a server, or ask it what it would send."""
    import httpx

    url = connection.url
    endpoint = f"{url.rstrip('/')}/events?{'dry_run' if dry_run else 'receipt'}=true"
    headers = {"Content-Type": "application/json"}
    if connection.api_key:
        headers["Authorization"] = f"Bearer {connection.api_key}"
    async with httpx.AsyncClient(
        headers=httpx.Headers(headers, encoding="utf-8"),
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=None),
        trust_env=connection.proxy_from_env,
        verify=connection.trusted,
    ) as client:

        async def send(addressed: Addressed) -> Outcome:
            body = compact(addressed.event).encode(errors="backslashreplace")
            try:
                answer = await client.post(endpoint, content=body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                return answered(502, f"cannot connect to the server {url}: {_words(exc)}")
            except httpx.TransportError as exc:
                return answered(
                    504,
                    f"no answer from the server {url}: {_words(exc)}; "
                    f"the event (timestamp {addressed.event.get('timestamp')}) "
                    "may or may not have been delivered",
                )
            return _judge(answer, url, addressed.target)

        yield send


def _words(exc: BaseException) -> str:
    """Find the operating system's words, which lie a few causes deep."""
    inner: BaseException | None = exc
    while inner is not None:
        if isinstance(inner, OSError) and inner.errno:
            return words(inner)
        tried = inner.exceptions if isinstance(inner, BaseExceptionGroup) else ()
        inner = tried[0] if tried else inner.__cause__ or inner.__context__
    return str(exc) or type(exc).__name__


def _judge(answer: Any, url: str, target: str) -> Outcome:
    """Read a server's answer; what does not look like one of Sonda's promises nothing."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    match document:
        case {"sent": True, "latency_ms": int()} if answer.status_code == 200:  # noqa: PLR2004  # HTTP's OK
            return delivered_through(document, target, url)
        case {"sent": False, "preview": {**_preview}} if answer.status_code == 200:  # noqa: PLR2004  # as above
            return previewed(document, target)
        case {"error": str(), "detail": str(detail)}:
            verdict = exit_status(answer.status_code)
            warnings = tuple(map(str, document.get("warnings", ())))
            at_fault = answer.status_code in EVENT_FAULTS
            line = f"{verdict.word}: {detail}"
            return Outcome(verdict, document, line, warnings, is_events_fault=at_fault)
        case _:
            foreign = f"the answer {answer.status_code} of {url} is not one of Sonda's"
            refused = 300 <= answer.status_code < 500  # noqa: PLR2004  # a redirect, or a client error
            return answered(404 if refused else 0, foreign)


@dataclass(slots=True)
class Emission:
    """Events on their way, and what has become of them so far."""

    addressed: Sequence[Addressed]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)

    async def run(self, way: Way, concurrency: int, done: Callable[[int], object]) -> None:
        """Send every event; *done* is called after each."""
        async with way as send:

            async def one(place: int) -> None:
                addressed = self.addressed[place]
                self.begun.add(place)
                self.outcomes[place] = redacted(await send(addressed), addressed.secrets)
                done(1)

            await each(range(len(self.addressed)), one, concurrency=concurrency)

    def give_up(self) -> None:
        """Record for each event without an outcome what is known after an interruption."""
        for place, addressed in enumerate(self.addressed):
            if place in self.outcomes:
                continue
            if place in self.begun:
                instant = addressed.event.get("timestamp")
                detail = f"interrupted; the event (timestamp {instant}) may or may not have been delivered"
                self.outcomes[place] = answered(504, detail)
            else:
                self.outcomes[place] = answered(503, "interrupted before it was sent")


def send_all(
    addressed: Sequence[Addressed],
    way: Way,
    *,
    concurrency: int = 1,
    done: Callable[[int], object] = int,
    interrupted: Callable[[], object] = bool,
) -> list[Outcome]:
    """Send events, at most *concurrency* at a time; return their outcomes in order.

    Ctrl-C, SIGTERM or SIGHUP ends it early, and *interrupted* is called: what had not been sent is
    rejected, what was on its way unknown.
    """
    emission = Emission(addressed)
    ended = False
    with suppress(KeyboardInterrupt):  # of a second signal
        ended = run_until_interrupted(emission.run(way, concurrency, done))
    if not ended:
        interrupted()
    emission.give_up()
    return [emission.outcomes[place] for place in range(len(addressed))]


def examine(addressed: Addressed) -> Outcome:
    """Do all that comes before the sending; what is wrong by then is the event's fault."""
    checked = (
        to_json(addressed.event)
        .bind(parse)
        .bind(partial(validate, received_ns=0))
        .bind(encode)
        .map(lambda _: Outcome(Exit.DELIVERED, {"valid": True}, "valid"))
    )
    return redacted(fold(checked, lambda outcome: outcome, failed), addressed.secrets)
