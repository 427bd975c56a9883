"""An OpenTelemetry collector, or anything that speaks OTLP over HTTP.

**Confirmed:** a 2xx whose body is empty, or an export response that rejects nothing.
Spec: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from returns.result import Result

from sonda.pipeline.model import Payload, Signal
from sonda.pipeline.net import Network
from sonda.pipeline.net import http_endpoint as _post
from sonda.pipeline.net.batch import BatchLimits
from sonda.pipeline.net.batching import BATCH_BYTES, Queue
from sonda.pipeline.net.batching_by_kind import Queues, push_by_kind, send_many_by_kind
from sonda.pipeline.net.otlp_answer import is_retryable, judge_export
from sonda.pipeline.net.retry import Retry
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.pieces import pieces_of_requests
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import Sink
from sonda.pipeline.text.redact import repr_without_secrets
from sonda.pipeline.values.addresses import parse_http_url, with_path
from sonda.pipeline.wire_preview import WirePreview

_CONTENT_TYPE: Final = "application/x-protobuf"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpHttp:
    """Options of the `otlp_http` sink; *endpoint* is the base that `/v1/logs` is appended to."""

    endpoint: str
    compression: Literal["none", "gzip"] = "none"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int = 1000
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


def open_queues(options: OtlpHttp, network: Network) -> Queues:
    """Return the queues for all events with these options, one for each signal."""
    return Queues(_signal, lambda payload: _queue(options, _signal(payload), network))


def _signal(payload: Payload) -> Signal:
    return payload.event.signal_type


def _queue(options: OtlpHttp, signal: Signal, network: Network) -> Queue:
    where = _endpoint(options, signal)
    limits = BatchLimits(events=options.batch_size)
    return _post.make_queue(
        where,
        _post.raw(where.headers),
        partial(_compose, options),
        limits,
        network,
        retry=options.retry,
    )


def _endpoint(options: OtlpHttp, signal: Signal) -> _post.Endpoint:
    coding = {} if options.compression == "none" else {"Content-Encoding": options.compression}
    return _post.endpoint(
        "otlp_http",
        options.endpoint,
        with_path(parse_http_url(options.endpoint), f"/v1/{signal}"),
        {"Content-Type": _CONTENT_TYPE, **coding, **options.headers},
        options.tls,
        _post.is_2xx,
        judge=partial(judge_export, signal),
        is_retryable=is_retryable,
    )


def _compose(options: OtlpHttp, payloads: Sequence[Payload]) -> bytes:
    """Join requests: protobuf merges what is concatenated."""
    body = b"".join([payload.body for payload in payloads])
    return gzip.compress(body, mtime=0) if options.compression == "gzip" else body


def describe(payload: Payload, options: OtlpHttp, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be posted if no other event waited; fails with `Forbidden`."""
    where = _endpoint(options, payload.event.signal_type)
    return _post.describe(
        where,
        _post.raw(where.headers),
        _compose(options, [payload]),
        network,
        framing="one record; a request may hold others, too",
    )


SINK: Final = Sink(
    OtlpHttp,
    push_by_kind,
    describe,
    send_many=send_many_by_kind,
    open=open_queues,
    headers_name_tenant=True,
    pieces=lambda options, _: pieces_of_requests(options.batch_size, BATCH_BYTES),
)
