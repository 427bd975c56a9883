"""What the sinks that post over HTTP share: the endpoint, the request, and the verdict on an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, assert_never, cast

import httpx
from returns.result import Failure, Result, Success

from sonda.about import version
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.interruption import WHILE_UNKNOWN, WHILE_UNSENT, explain
from sonda.pipeline.model import Ack, Confirmed, Payload, WirePreview
from sonda.pipeline.net import Network
from sonda.pipeline.net.batch import Batch, BatchLimits, Labels, StreamOrder
from sonda.pipeline.net.batching import Queue
from sonda.pipeline.net.http1_response import ANSWER_BYTES
from sonda.pipeline.net.http_content import TEXT_BYTES, decode, text_of
from sonda.pipeline.net.http_verdict import (
    Accepted,
    HttpAnswer,
    Judge,
    Rejected,
    Unreadable,
    status_is_enough,
)
from sonda.pipeline.net.pool import Attempt, TlsParameters
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.net.scheme_hint import scheme_hint
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.text.escape import ANSWER_CHARACTERS, QUOTED_CHARACTERS, excerpt, shown
from sonda.pipeline.text.redact import mask, quote_words, secrets_of_headers, secrets_of_userinfo
from sonda.pipeline.values.addresses import address_of, basic_auth, parse_http_url, without_zone

_WHATEVER_THE_EVENT: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
)

_MAY_BE_STORED: Final = (HTTPStatus.REQUEST_TIMEOUT, *range(200, 300))


def is_transient(status: int) -> bool:
    """Return whether another try may meet another answer than *status*."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how a kind of *sink* posts: what all of its events have in common.

    *names* is how problems call it; a refusal names the URL that was *posted* to. An answer is a yes if its status *is_yes* and *judge* accepts
    its body, of which at most *answer_bytes* are read; after any other another try may follow if
    its status *is_retryable*.
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
    """Take every success for a yes."""
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
    """Put an endpoint together: *target* is how the client wrote it, *headers* are the user's."""
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
    """Put those *defaults* before *headers* whose name, in any case, these do not have."""
    given = {name.lower() for name in headers}
    missing = {name: value for name, value in defaults.items() if name.lower() not in given}
    return {**missing, **headers}


def raw(headers: Mapping[str, str]) -> httpx.Headers:
    """Write headers as they travel: values as UTF-8."""
    return httpx.Headers([(name.encode(), value.encode()) for name, value in headers.items()])


def headers_for(
    payload: Payload, where: Endpoint, *, content_type: str | None = None
) -> httpx.Headers:
    """Give a payload the headers that its format needs, beside the endpoint's own."""
    ours = {"Content-Type": content_type or payload.content_type, **payload.packing.headers}
    return raw(with_defaults(where.headers, ours))


class Body(httpx.AsyncByteStream):
    """A request's body, which is put together when there is a connection for it."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give it in one piece."""
        yield self._make()


def line(
    where: Endpoint,
    headers: httpx.Headers,
    compose: Callable[[Sequence[Payload]], bytes],
    limits: BatchLimits,
    transport: Network,
    order: StreamOrder | None = None,
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

    return Queue(push, where.names, limits, transport.start, order)


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
        cause = _own_words(where, str(exc), QUOTED_CHARACTERS) + hint
        unknown = OutcomeUnknown(where.names.target, f"({cause})", time_ns)
        return Failure(AttemptFailure(unknown, retryable=True))
    return _judge(where, reply, answer, time_ns, count)


def describe(
    where: Endpoint, headers: httpx.Headers, body: bytes, transport: Network, *, framing: str
) -> Result[WirePreview, Problem]:
    """Say what would be posted; fails with `Forbidden` for the destination or a TLS file."""
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


def _judge(
    where: Endpoint,
    reply: httpx.Response,
    body: bytes,
    time_ns: int,
    count: Callable[[], int],
) -> Outcome:
    status = reply.status_code
    if not where.is_yes(status):
        words = _content_words(where, reply, body)
        stored = status in _MAY_BE_STORED or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        refused = Refused(where.posted, _status_line(where, reply), words, stored)
        per_event = status not in _WHATEVER_THE_EVENT
        wait_s = _retry_after_s(reply)
        return Failure(
            AttemptFailure(refused, where.is_retryable(status), wait_s, per_event=per_event)
        )
    whole = reply.extensions.get("whole", True)
    verdict = where.judge(HttpAnswer(status, reply.headers, body, whole), count())
    match verdict:
        case Accepted(message):
            words = _own_words(where, message)
            said = f"{where.names.target} accepted the event and said: {words}"
            return Success(Ack(Confirmed.ACCEPTED, status=status, warnings=(said,) * bool(words)))
        case Rejected(what, message, per_event, stored):
            answered = f"{_status_line(where, reply)}, {_own_words(where, what)}"
            refused = Refused(where.posted, answered, _own_words(where, message), stored)
            return Failure(AttemptFailure(refused, per_event=per_event))
        case Unreadable(why):
            reason = f"(it answered {_status_line(where, reply)}, but {why})"
            return Failure(AttemptFailure(OutcomeUnknown(where.names.target, reason, time_ns)))
        case _:
            assert_never(verdict)


def _status_line(where: Endpoint, reply: httpx.Response) -> str:
    phrase = _own_words(where, reply.extensions.get("reason_phrase", b""), QUOTED_CHARACTERS)
    phrase = phrase or httpx.codes.get_reason_phrase(reply.status_code)
    return f"{reply.status_code} {phrase}".rstrip()


def _content_words(where: Endpoint, reply: httpx.Response, body: bytes) -> str:
    """Quote what a destination says in the body of its answer."""
    content = decode(body, reply.headers, TEXT_BYTES)
    if content is None:
        coding = excerpt(reply.headers.get("content-encoding", ""), QUOTED_CHARACTERS)
        return f"({len(body)} bytes, coded as {coding})"
    is_cut = not reply.extensions.get("whole", True) or len(content.body) >= TEXT_BYTES
    return _own_words(where, text_of(content.body, reply.headers), whole=not is_cut)


def _own_words(
    where: Endpoint,
    text: bytes | str,
    limit: int = ANSWER_CHARACTERS,
    *,
    whole: bool = True,
) -> str:
    """Quote the destination, which may have sent our credentials back."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    userinfo = where.url.userinfo.decode("ascii")
    secrets = (*secrets_of_headers(where.headers), *secrets_of_userinfo(userinfo))
    return quote_words(text, secrets, limit, whole=whole)


def _retry_after_s(reply: httpx.Response) -> float | None:
    """Read `Retry-After`, seconds or a date; spec: RFC 9110, section 10.2.3."""
    text = reply.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter: a year of more digits than C can count
        return None
    now = datetime.now(UTC)
    return max(0.0, (due.replace(tzinfo=due.tzinfo or UTC) - now).total_seconds())
