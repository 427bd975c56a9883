"""The endpoint and the request of all sinks that post over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx
from msgspec import Struct
from returns.result import Failure, Result, Success

from sonda.about import version
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt, AttemptFailure
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net.batch import Batch, BatchLimits, StepNames, StreamOrder
from sonda.pipeline.net.batching import Pushed, Queue
from sonda.pipeline.net.connection import TlsParameters
from sonda.pipeline.net.http1 import HttpRequest, Resource, head
from sonda.pipeline.net.http1_response import ANSWER_BYTES, Answer
from sonda.pipeline.net.http_outcome import outcome_of, own_words
from sonda.pipeline.net.http_verdict import Judge, status_is_enough
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.retry import Outcome, Retry
from sonda.pipeline.net.scheme_hint import scheme_hint
from sonda.pipeline.net.sockets import is_late, reason, words
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.problems import Problem
from sonda.pipeline.text.escape import QUOTED_CHARACTERS, shown
from sonda.pipeline.text.redact import mask
from sonda.pipeline.unknown_or_unsent import cut_off, unknown_or_unsent
from sonda.pipeline.values.addresses import address_of, basic_auth, parse_http_url, without_zone
from sonda.pipeline.wire_preview import WirePreview


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
    names: StepNames
    posted: str
    url: httpx.URL = field(repr=False)  # may hold a password, as the headers may
    headers: Mapping[str, str] = field(repr=False)
    tls: Tls | None
    is_yes: Callable[[int], bool]
    judge: Judge = status_is_enough
    is_retryable: Callable[[int], bool] = is_transient
    answer_bytes: int = ANSWER_BYTES


_OK: Final = HTTPStatus.OK.value  # to ask the class each time is two calls in Python
_MULTIPLE_CHOICES: Final = HTTPStatus.MULTIPLE_CHOICES.value


def is_2xx(status: int) -> bool:
    """Return whether *status* is any success."""
    return _OK <= status < _MULTIPLE_CHOICES


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
        names=StepNames(shown(target), step, step),
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


class Posting(Struct, frozen=True, eq=False):
    """What is posted once: its *body* is put together when there is a connection for it.

    *time_ns* is the time of its first event; *count* returns how many it has held, once it has left.
    """

    body: Callable[[], bytes]
    attempt: Attempt
    deadline: Deadline
    time_ns: int
    count: Callable[[], int] = lambda: 1


class Poster:
    """Posts to an endpoint, always with the same headers."""

    def __init__(self, where: Endpoint, headers: httpx.Headers, network: Network) -> None:
        self.where = where
        self._headers = headers
        self._network = network
        self._address = address_of(where.url)
        self._plain: Resource | None = None  # of `http://`: one for all requests

    async def post(self, posting: Posting) -> Outcome:
        """Post once; fails with `Forbidden` for the destination, or as the TLS files do, too."""
        answered: asyncio.Future[Answer | OSError] = asyncio.get_running_loop().create_future()
        abandon = self.begin(posting, partial(_set_result, answered))
        if abandon is None:
            return await self.exchange(posting)
        try:
            return self.outcome(posting, await answered)
        except asyncio.CancelledError as exc:
            abandon()
            self._explain(exc, posting)
            raise

    async def exchange(self, posting: Posting) -> Outcome:
        """Post once as `post` does, where `begin` has said that it needs a wait."""
        attempt, where = posting.attempt, self.where
        try:
            resource = self._plain or await self._resource()
            if not isinstance(resource, Resource):
                return Failure(AttemptFailure(resource, reached=False))
            answer = await self._network.http.exchange(
                HttpRequest(
                    resource,
                    posting.body,
                    attempt,
                    posting.deadline,
                    where.is_yes,
                    where.answer_bytes,
                )
            )
        except DestinationNotAllowed as exc:
            return Failure(AttemptFailure(exc.problem, reached=attempt.reached))
        except OSError as exc:
            return self.outcome(posting, exc)
        except asyncio.CancelledError as exc:
            self._explain(exc, posting)
            raise
        return self.outcome(posting, answer)

    def begin(
        self, posting: Posting, ended: Callable[[Answer | OSError], None]
    ) -> Callable[[], object] | None:
        """Post once, without waiting, if a kept connection takes the request.

        *ended* is called later with what `outcome` takes. Return what to call where nobody waits
        for it any more; where it is `None` nothing has left.
        """
        if self._plain is None:
            return None
        where = self.where
        asked = HttpRequest(
            self._plain,
            posting.body,
            posting.attempt,
            posting.deadline,
            where.is_yes,
            where.answer_bytes,
        )
        return self._network.http.begin(asked, ended)

    def outcome(self, posting: Posting, answer: Answer | OSError) -> Outcome:
        """Return what a request has come to that has an answer, or why there is none."""
        where = self.where
        if isinstance(answer, OSError):
            return Failure(self._failure(answer, posting))
        if where.judge is status_is_enough and where.is_yes(
            answer.status
        ):  # as it nearly always is
            return Success(Ack(Confirmed.ACCEPTED, status=answer.status))
        return outcome_of(where, answer, time_ns=posting.time_ns, count=posting.count)

    def _explain(self, exc: asyncio.CancelledError, posting: Posting) -> None:
        names, has_left = self.where.names, posting.attempt.has_left
        explain(
            exc, cut_off(names.target, names.connect, has_left=has_left, time_ns=posting.time_ns)
        )

    async def _resource(self) -> Resource | Problem:
        """Return where to post to, if the operator allows it and the TLS files can be read."""
        where, network = self.where, self._network
        permitted = network.resolver.permit(where.sink, self._address)
        if not isinstance(permitted, Success):
            return permitted.failure()
        if where.url.scheme != "https":
            plain = network.http.resource(where.sink, "POST", where.url, self._headers, None)
            self._plain = plain
            return plain
        context = await network.tls.load(where.tls)
        if not isinstance(context, Success):
            return context.failure()
        secure = TlsParameters(context.unwrap(), _server_name(where))
        return network.http.resource(where.sink, "POST", where.url, self._headers, secure)

    def _failure(self, exc: OSError, posting: Posting) -> AttemptFailure:
        """Return what a try has come to that got no answer: nothing has left, or it is unknown."""
        attempt, deadline = posting.attempt, posting.deadline
        names, scheme, has_left = self.where.names, self.where.url.scheme, attempt.has_left
        unknown = unsent = ""
        if not has_left:
            unsent = reason(exc, deadline) + scheme_hint(
                scheme, exc, connected=attempt.reached, has_received=attempt.has_received
            )
        elif is_late(exc):
            unknown = f"within {deadline}"
        else:
            is_first = scheme == "http" and not attempt.reused
            has_received = attempt.has_received
            hint = (
                scheme_hint("http", exc, connected=True, has_received=has_received)
                if is_first
                else ""
            )
            unknown = f"({own_words(self.where, words(exc), QUOTED_CHARACTERS)}{hint})"
        problem = unknown_or_unsent(
            names.target,
            names.connect,
            has_left=has_left,
            time_ns=posting.time_ns,
            unknown=unknown,
            unsent=unsent,
        )
        retryable = not (has_left and is_late(exc))
        return AttemptFailure(problem, retryable=retryable, reached=has_left or attempt.reached)


def _set_result(answered: asyncio.Future[Answer | OSError], what: Answer | OSError) -> None:
    if not answered.done():
        answered.set_result(what)


def make_queue(
    where: Endpoint,
    headers: httpx.Headers,
    compose: Callable[[Sequence[Payload]], bytes],
    limits: BatchLimits,
    network: Network,
    order: StreamOrder | None = None,
    *,
    retry: Retry | None,
) -> Queue:
    """Make the queue of a destination whose requests can hold several events.

    Where a refusal may be about one of them, they go again in smaller requests.
    """
    poster = Poster(where, headers, network)

    def posting(batch: Batch) -> Posting:
        return Posting(
            lambda: compose(batch.freeze()),
            batch.attempt,
            batch.deadline,
            batch.events[0].payload.event.time_ns,
            lambda: sum(event.payload.count for event in batch.events),
        )

    async def push(batch: Batch) -> bool:
        return batch.finish(await poster.exchange(posting(batch)))

    def begin(batch: Batch, pushed: Pushed) -> bool | None:
        what = posting(batch)

        def ended(answer: Answer | OSError) -> None:
            try:
                again: bool | Exception = batch.finish(poster.outcome(what, answer))
            except Exception as exc:  # noqa: BLE001  # a bug, raised where the outcome is awaited
                again = exc
            pushed(batch, again)

        batch.abandon = poster.begin(what, ended)
        return None if batch.abandon is None else False

    return Queue(push, where.names, limits, network.start, order, retry=retry, begin=begin)


def describe(
    where: Endpoint, headers: httpx.Headers, body: bytes, network: Network, *, framing: str
) -> Result[WirePreview, Problem]:
    """Return what would be posted; fail with `Forbidden` for the destination or a TLS file."""
    written = head("POST", where.url, headers) + b"Content-Length: %d" % len(body)
    line, *fields = written.decode().split("\r\n")
    pairs = ((name, value) for name, _, value in (field.partition(": ") for field in fields))
    tls = {} if where.url.scheme != "https" else {"tls": _server_name(where)}
    departure = WirePreview(
        where.names.target, framing, body, {"request": line, **tls}, mask(pairs)
    )
    permitted = network.resolver.permit(where.sink, address_of(where.url))
    return permitted.bind(lambda _: network.tls.permit(where.tls)).map(lambda _: departure)


def _server_name(where: Endpoint) -> str:
    name = (where.tls and where.tls.server_name) or address_of(where.url).host
    return without_zone(name).rstrip(".")
