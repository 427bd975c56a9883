"""Grafana Loki, or a server that speaks its push API: one stream per label set.

**Confirmed:** Loki's 204, or the 200 of a compatible server. Any other status is a no: Loki
answers 260 when ingestion is blocked.
Spec: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec
from returns.result import Result

from sonda.pipeline.model import Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net import http_endpoint as _post
from sonda.pipeline.net.batch import BatchLimits
from sonda.pipeline.net.batching import BATCH_BYTES, Queue, push_to, send_many_to
from sonda.pipeline.net.retry import Retry
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.pieces import Format, Pieces, Stream
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import Sink
from sonda.pipeline.text.redact import repr_without_secrets
from sonda.pipeline.values.addresses import parse_http_url, with_path
from sonda.pipeline.wire_preview import WirePreview

_PUSH_PATH: Final = "/loki/api/v1/push"
_YES: Final = frozenset({HTTPStatus.NO_CONTENT.value, HTTPStatus.OK.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loki:
    """Options of the `loki` sink.

    *url* is the base that `/loki/api/v1/push` is appended to, unless its path ends so already.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int = 1000
    max_streams_per_push: int = 128
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


def open_queue(options: Loki, network: Network) -> Queue:
    """Return the queue for all events with these options; each event is one entry of a push."""
    where = _endpoint(options)
    limits = BatchLimits(
        events=options.batch_size, streams=options.max_streams_per_push, stream_of=_stream
    )
    headers = _post.raw(where.headers)
    return _post.make_queue(where, headers, _compose, limits, network, retry=options.retry)


def _endpoint(options: Loki) -> _post.Endpoint:
    headers = {"Content-Type": "application/json", **options.headers}
    url = with_path(parse_http_url(options.url), _PUSH_PATH)
    return _post.endpoint("loki", options.url, url, headers, options.tls, _YES.__contains__)


class _Stream(msgspec.Struct):
    """The entries of one label set, as a push has them."""

    stream: Mapping[str, str]
    values: list[tuple[str, str]]


def _stream(payload: Payload) -> Hashable:
    return frozenset(payload.event.labels.items())


def _compose(payloads: Sequence[Payload]) -> bytes:
    """Write the push: one stream per label set, each line without its last line feed."""
    if payloads[0].count > 1:  # a piece is alone in its push
        return payloads[0].body
    if len(payloads) == 1:
        streams = [_Stream(payloads[0].event.labels, [_entry(payloads[0])])]
        return msgspec.json.encode({"streams": streams})
    by_labels: dict[Hashable, _Stream] = {}
    stream: _Stream | None = None
    for payload in payloads:
        event = payload.event
        if stream is None or event.labels != stream.stream:  # a neighbour's are often the same
            key = _stream(payload)
            stream = by_labels.get(key)
            if stream is None:
                stream = by_labels[key] = _Stream(event.labels, [])
        stream.values.append(_entry(payload))
    return msgspec.json.encode({"streams": list(by_labels.values())})


def _entry(payload: Payload) -> tuple[str, str]:
    return str(payload.event.time_ns), payload.body.decode().removesuffix("\n")


def describe(payload: Payload, options: Loki, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be pushed if no other event waited; fail with `Forbidden`."""
    where = _endpoint(options)
    return _post.describe(
        where,
        _post.raw(where.headers),
        _compose([payload]),
        network,
        framing="one entry, without its last line feed; a push may hold others, too",
    )


def _pieces(options: Loki, written: Format) -> Pieces | None:
    """Return how lines share a push."""
    if not written.lines:
        return None
    return Pieces(
        events=options.batch_size,
        size_bytes=BATCH_BYTES,
        streams=options.max_streams_per_push,
        join=_join,
    )


def _join(streams: Sequence[Stream]) -> bytes:
    """Write the push of a piece, as `_compose` writes that of its events."""
    return msgspec.json.encode(
        {
            "streams": [
                _Stream(
                    one.event.labels,
                    list(zip(map(str, one.times_ns), _texts(one.body), strict=True)),
                )
                for one in streams
            ]
        }
    )


def _texts(lines: bytes) -> list[str]:
    """Return each line without its line feed."""
    return lines.decode().split("\n")[:-1]


SINK: Final = Sink(
    Loki,
    push_to,
    describe,
    send_many=send_many_to,
    open=open_queue,
    headers_name_tenant=True,
    pieces=_pieces,
)
