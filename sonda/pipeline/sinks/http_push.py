"""Any HTTP endpoint that takes a POST: one event, one request, unless `batch_size` is given.

**Confirmed:** a 2xx answer, read whole, that is what `expect` asks for: the endpoint accepted the
event. A redirect is a no. OTLP's answers are judged as `otlp_http` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx
from returns.result import Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.model import Ack, Payload, Pending, Signal
from sonda.pipeline.net import Network
from sonda.pipeline.net import http_endpoint as _post
from sonda.pipeline.net.batch import BatchLimits
from sonda.pipeline.net.batching import send_many_to
from sonda.pipeline.net.http1_response import ANSWER_BYTES
from sonda.pipeline.net.http_expect import Expect, answer_bytes, is_expected, judge_expected
from sonda.pipeline.net.http_verdict import Judge, judge_in_turn
from sonda.pipeline.net.retry import Outcome, Retry, deliver_with_retries
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.pieces import Format, Pieces
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import Sink
from sonda.pipeline.text.redact import repr_without_secrets
from sonda.pipeline.values.addresses import parse_http_url
from sonda.pipeline.wire_preview import WirePreview

_LINE_FORMATS: Final = ("text/", "application/x-ndjson")
"""How the content types of encoders begin whose events are lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPush:
    """Options of the `http_push` sink; a `Content-Type` in *headers* wins over *content_type*.

    With *batch_size*, in bytes, events of a line format that leave together share requests.
    """

    url: str
    content_type: str | None = None
    expect: Expect | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int | None = None
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


class Posters:
    """What events with the same options have in common, for each encoder and signal type."""

    def __init__(self, options: HttpPush, network: Network) -> None:
        self.options = options
        self._network = network
        self._known: dict[tuple[str, Signal], _post.Poster] = {}

    def find(self, payload: Payload) -> _post.Poster:
        """Return what posts payloads like this one."""
        kind = payload.encoder, payload.event.signal_type
        if kind not in self._known:
            where, headers = _target(self.options, payload)
            self._known[kind] = _post.Poster(where, headers, self._network)
        return self._known[kind]


async def push(
    payload: Payload, posters: Posters, _network: Network, deadline: Deadline
) -> Result[Pending, Problem]:
    """Post the encoder's bytes, as they are or as their format packs them for HTTP."""
    poster = posters.find(payload)
    body = partial(payload.packing.pack, payload.body)
    time_ns = payload.event.time_ns

    async def attempt() -> Outcome:
        return await poster.post(_post.Posting(body, Attempt(), deadline, time_ns))

    return Success(partial(deliver_with_retries, attempt, posters.options.retry, deadline))


async def send_many(
    payloads: Sequence[Payload], posters: Posters, network: Network, deadline: Deadline
) -> list[Result[Ack, Problem]]:
    """Post a group, joined, one request after the other; return the verdict on each event.

    A joined request that is refused is halved until each refused event has been posted alone.
    """
    options = posters.options
    where, headers = _target(options, payloads[0])
    limits = BatchLimits(events=len(payloads), size_bytes=options.batch_size or 0, pushes=1)
    # A queue for this group alone: single events and other groups are never joined with it.
    queue = _post.make_queue(where, headers, _compose, limits, network, retry=options.retry)
    return await send_many_to(payloads, queue, network, deadline)


def _can_join(payloads: Sequence[Payload], options: HttpPush) -> bool:
    """Return whether a `batch_size` is given, and a line feed ends each event and nothing else."""
    return options.batch_size is not None and all(
        payload.content_type.startswith(_LINE_FORMATS)
        and payload.body.find(b"\n") == len(payload.body) - 1 >= 0  # -1 where there is none
        for payload in payloads
    )


def _compose(payloads: Sequence[Payload]) -> bytes:
    return payloads[0].packing.pack(b"".join(payload.body for payload in payloads))


def _target(options: HttpPush, payload: Payload) -> tuple[_post.Endpoint, httpx.Headers]:
    url = parse_http_url(options.url)
    judge, is_retryable = _judgement(payload, options)
    where = _post.endpoint(
        "http_push",
        options.url,
        url,
        options.headers,
        options.tls,
        partial(is_expected, options.expect) if options.expect else _post.is_2xx,
        judge=judge,
        is_retryable=is_retryable,
        answer_bytes=answer_bytes(options.expect, ANSWER_BYTES),
    )
    return where, _post.headers_for(payload, where, content_type=options.content_type)


def _judgement(payload: Payload, options: HttpPush) -> tuple[Judge, Callable[[int], bool]]:
    """Return how to judge a body, and which statuses may pass; those of OTLP are its own."""
    expected = judge_expected(options.expect)
    if payload.encoder != "otlp":
        return expected, _post.is_transient
    from sonda.pipeline.net.otlp_answer import is_retryable, judge_export  # needs the extra

    export = partial(judge_export, payload.event.signal_type)
    return judge_in_turn(expected, export), is_retryable


def describe(payload: Payload, options: HttpPush, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be posted; fail with `Forbidden`."""
    where, headers = _target(options, payload)
    body = payload.packing.pack(payload.body)
    return _post.describe(where, headers, body, network, framing="one POST")


def _pieces(options: HttpPush, written: Format) -> Pieces | None:
    """Return how lines share a request, if a `batch_size` is given."""
    is_joined = options.batch_size is not None and written.content_type.startswith(_LINE_FORMATS)
    return Pieces(size_bytes=options.batch_size) if is_joined and written.lines else None


SINK: Final = Sink(
    HttpPush,
    push,
    describe,
    send_many=send_many,
    can_join=_can_join,
    open=Posters,
    pieces=_pieces,
)
