"""The endpoint and the request of all sinks that post over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

import httpx
from returns.result import Failure, Result, Success

from sonda.about import version
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.interruption import WHILE_UNKNOWN, WHILE_UNSENT, explain
from sonda.pipeline.model import Payload, WirePreview
from sonda.pipeline.net import Network
from sonda.pipeline.net.batch import Batch, BatchLimits, Labels, StreamOrder
from sonda.pipeline.net.batching import Queue
from sonda.pipeline.net.connection import Attempt, TlsParameters
from sonda.pipeline.net.http1_response import ANSWER_BYTES
from sonda.pipeline.net.http_outcome import outcome_of, own_words
from sonda.pipeline.net.http_verdict import Judge, status_is_enough
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.retry import Outcome, Retry
from sonda.pipeline.net.scheme_hint import scheme_hint
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.text.escape import QUOTED_CHARACTERS, shown
from sonda.pipeline.text.redact import mask
from sonda.pipeline.values.addresses import address_of, basic_auth, parse_http_url, without_zone


def is_transient(status: int) -> bool:
    """Return whether another try may meet another answer than *status*."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how a kind of *sink* posts: what all of its events have in common.

    *names* is how problems call it; a refusal names the URL that was *posted* to. An answer is a
    yes if its status *is_yes* and *judge* accepts its body, of which at most *answer_bytes* are
    read; after any other another try may follow if its status *is_retryable*.
    """

    sink: str
    names: Labels
    posted: str
    url: httpx.URL = field(repr=False)  # may hold a password, as the headers may
    headers: Mapping[str, str] = field(repr=False)
    tls: Tls | None
    is_yes: Callable[[int], bool]
    judge: Judge = status_is_enough
    is_retryable: Callable[[int], bool] = is_transient
    answer_bytes: int = ANSWER_BYTES


def is_2xx(status: int) -> bool:
    """Return whether *status* is any success."""
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def endpoint(
    sink: str,
    target: str,
    url: httpx.URL,
    headers: Mapping[str, str],
    tls: Tls | None,
    is_yes: Callable[[int], bool],
    *,
    judge: Judge = status_is_enough,
    is_retryable: Callable[[int], bool] = is_transient,
    answer_bytes: int = ANSWER_BYTES,
) -> Endpoint:
    """Return an endpoint: *target* is how the client wrote it, *headers* are the user's."""
    host = url.netloc.decode("ascii")
    step = f"HTTP connect to {host}"
    ours = {
        "Host": without_zone(host),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": f"sonda/{version()}",
    }
    if (login := basic_auth(url)) is not None:
        ours["Authorization"] = login
    return Endpoint(
        sink=sink,
        names=Labels(shown(target), step, step),
        posted=shown(target if url == parse_http_url(target) else str(url)),
        url=url,
        headers=with_defaults(headers, ours),
        tls=tls,
        is_yes=is_yes,
        judge=judge,
        is_retryable=is_retryable,
        answer_bytes=answer_bytes,
    )


def with_defaults(headers: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* after those *defaults* whose name, in any case, they do not have."""
    given = {name.lower() for name in headers}
    missing = {name: value for name, value in defaults.items() if name.lower() not in given}
    return {**missing, **headers}


def raw(headers: Mapping[str, str]) -> httpx.Headers:
    """Return headers as they travel: values as UTF-8."""
    return httpx.Headers([(name.encode(), value.encode()) for name, value in headers.items()])


def headers_for(
    payload: Payload, where: Endpoint, *, content_type: str | None = None
) -> httpx.Headers:
    """Return the headers that a payload's format needs, beside the endpoint's own."""
    ours = {"Content-Type": content_type or payload.content_type, **payload.packing.headers}
    return raw(with_defaults(where.headers, ours))


class Body(httpx.AsyncByteStream):
    """A request's body, which is put together when there is a connection for it."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield it in one piece."""
        yield self._make()


def line(
    where: Endpoint,
    headers: httpx.Headers,
    compose: Callable[[Sequence[Payload]], bytes],
    limits: BatchLimits,
    transport: Network,
    order: StreamOrder | None = None,
    *,
    retry: Retry | None,
) -> Queue:
    """Make the line of a destination whose requests can hold several events.

    Where a refusal may be about one of them, each has a second try alone.
    """

    async def push(batch: Batch) -> bool:
        outcome = await post(
            where,
            headers,
            Body(lambda: compose(batch.freeze())),
            batch.journey,
            transport,
            batch.deadline,
            time_ns=batch.events[0].payload.event.time_ns,
            count=lambda: len(batch.events),
        )
        refused = isinstance(outcome, Failure) and outcome.failure().per_event
        if refused and len(batch.events) > 1:
            return True
        batch.set_result(outcome)
        return False

    return Queue(push, where.names, limits, transport.start, order, retry=retry)


async def post(
    where: Endpoint,
    headers: httpx.Headers,
    body: httpx.AsyncByteStream,
    journey: Attempt,
    transport: Network,
    deadline: Deadline,
    *,
    time_ns: int,
    count: Callable[[], int] = lambda: 1,
) -> Outcome:
    """Post once; fails with `Forbidden` for the destination, or as the TLS files do, too.

    *count* returns how many events the request has held, once it has left.
    """
    try:
        return await _post_once(where, headers, body, journey, transport, deadline, time_ns, count)
    except asyncio.CancelledError as exc:
        unknown = OutcomeUnknown(where.names.target, WHILE_UNKNOWN, time_ns)
        explain(exc, unknown if journey.left else Unreachable(where.names.connect, WHILE_UNSENT))
        raise


async def _post_once(
    where: Endpoint,
    headers: httpx.Headers,
    body: httpx.AsyncByteStream,
    journey: Attempt,
    transport: Network,
    deadline: Deadline,
    time_ns: int,
    count: Callable[[], int],
) -> Outcome:
    permitted = transport.destinations.permit(where.sink, address_of(where.url))
    secure = await then(permitted, lambda _: _secure(where, transport))
    if not isinstance(secure, Success):
        return Failure(AttemptFailure(secure.failure(), reached=False))
    extensions = {
        "sink": where.sink,
        "deadline": deadline,
        "secure": secure.unwrap(),
        "journey": journey,
        "answer_bytes": where.answer_bytes,
        "is_yes": where.is_yes,
    }
    request = _request(where, headers, body, extensions)
    try:
        reply = await transport.http.handle_async_request(request)
        answer = b"".join([part async for part in cast("httpx.AsyncByteStream", reply.stream)])
    except DestinationNotAllowed as exc:
        return Failure(AttemptFailure(exc.problem, reached=journey.reached))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        hint = scheme_hint(where.url.scheme, exc.__cause__, connected=journey.reached)
        unreachable = Unreachable(where.names.connect, str(exc) + hint)
        return Failure(AttemptFailure(unreachable, retryable=True, reached=journey.reached))
    except httpx.TimeoutException:
        late = OutcomeUnknown(where.names.target, f"within {deadline}", time_ns)
        return Failure(AttemptFailure(late))
    except httpx.TransportError as exc:
        is_first = where.url.scheme == "http" and not journey.reused
        hint = scheme_hint("http", exc.__cause__, connected=True) if is_first else ""
        cause = own_words(where, str(exc), QUOTED_CHARACTERS) + hint
        unknown = OutcomeUnknown(where.names.target, f"({cause})", time_ns)
        return Failure(AttemptFailure(unknown, retryable=True))
    return outcome_of(where, reply, answer, time_ns=time_ns, count=count)


def describe(
    where: Endpoint, headers: httpx.Headers, body: bytes, transport: Network, *, framing: str
) -> Result[WirePreview, Problem]:
    """Return what would be posted; fail with `Forbidden` for the destination or a TLS file."""
    from sonda.pipeline.net.http1 import head  # as `Transport.http` loads it: when it is used

    request = _request(where, headers, httpx.ByteStream(body), {})
    line, *fields = head(request, len(body)).decode().removesuffix("\r\n\r\n").split("\r\n")
    pairs = ((name, value) for name, _, value in (field.partition(": ") for field in fields))
    tls = {} if where.url.scheme != "https" else {"tls": _server_name(where)}
    departure = WirePreview(
        where.names.target, framing, body, {"request": line, **tls}, mask(pairs)
    )
    permitted = transport.destinations.permit(where.sink, address_of(where.url))
    return permitted.bind(lambda _: transport.tls.permit(where.tls)).map(lambda _: departure)


def _request(
    where: Endpoint,
    headers: httpx.Headers,
    body: httpx.AsyncByteStream,
    extensions: dict[str, Any],
) -> httpx.Request:
    return httpx.Request("POST", where.url, headers=headers, stream=body, extensions=extensions)


async def _secure(where: Endpoint, transport: Network) -> Result[TlsParameters | None, Problem]:
    if where.url.scheme != "https":
        return Success(None)
    context = await transport.tls.load(where.tls)
    return context.map(lambda loaded: TlsParameters(loaded, _server_name(where)))


def _server_name(where: Endpoint) -> str:
    name = (where.tls and where.tls.server_name) or address_of(where.url).host
    return without_zone(name).rstrip(".")
