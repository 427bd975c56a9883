"""A Prometheus remote-write receiver.

The request's headers and its compression come with the payload, from the encoder that knows which
version of the protocol it writes.

**Confirmed:** a 2xx answer, read whole: the receiver has taken the sample.
Spec: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace
from returns.result import Result

from sonda.pipeline.model import Log, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net import http_endpoint as _post
from sonda.pipeline.net.batch import BatchLimits, StreamOrder
from sonda.pipeline.net.batching import BATCH_BYTES, Queue
from sonda.pipeline.net.batching_by_kind import Queues, push_by_kind, send_many_by_kind
from sonda.pipeline.net.retry import Retry
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.pieces import Format, Pieces, pieces_of_requests
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import Sink
from sonda.pipeline.text.redact import repr_without_secrets
from sonda.pipeline.values.addresses import address_of, literal, parse_http_url
from sonda.pipeline.wire_preview import WirePreview


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWrite:
    """Options of the `remote_write` sink; *url* is the receiver's whole endpoint."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int = 1000
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


def open_queues(options: RemoteWrite, network: Network) -> Queues:
    """Return the queues for samples with these options; versions do not mix in one request."""
    return Queues(_encoder, lambda payload: _queue(options, payload, network))


def _encoder(payload: Payload) -> str:
    return payload.encoder


def _queue(options: RemoteWrite, payload: Payload, network: Network) -> Queue:
    """Make a queue of requests that are packed as the first payload's version says.

    A request holds one sample of a series at most, and the next one waits for its verdict:
    Prometheus takes two samples of one millisecond with a 204 and keeps only the first, and of
    two requests side by side it refuses the sample that comes later with the earlier time. That
    holds for a receiver, whatever else the options say: its series have one order.
    """
    where = _endpoint(options)
    limits = BatchLimits(events=options.batch_size, stream_of=_series, one_each=True)
    order = network.common(_receiver(where), StreamOrder)
    headers = _post.headers_for(payload, where)
    return _post.make_queue(where, headers, _compose, limits, network, order, retry=options.retry)


def _receiver(where: _post.Endpoint) -> Hashable:
    """Return what tells one receiver from another: the address, path, tenant and other headers.

    Paths have a case; a fragment is never sent. A host's spelling stands in `Host`, too, which
    nobody chooses for itself.
    """
    host, port = address_of(where.url)
    headers = sorted(
        (name.lower(), value) for name, value in where.headers.items() if name != "Host"
    )
    path, _, query = where.url.raw_path.partition(b"?")
    place = where.url.scheme, literal(host) or host.lower().rstrip("."), port
    return "remote_write", place, unquote_to_bytes(path), query, tuple(headers)


def _endpoint(options: RemoteWrite) -> _post.Endpoint:
    return _post.endpoint(
        "remote_write",
        options.url,
        parse_http_url(options.url),
        options.headers,
        options.tls,
        _post.is_2xx,
    )


def _compose(payloads: Sequence[Payload]) -> bytes:
    return payloads[0].packing.pack(b"".join(payload.body for payload in payloads))


def _series(payload: Payload) -> Hashable:
    """Return what identifies a series to Prometheus, for which an empty label is none."""
    sample = payload.event
    labels = frozenset([pair for pair in sample.labels.items() if pair[1]])
    return labels if isinstance(sample, Log) else (sample.name, labels)


def describe(
    payload: Payload, options: RemoteWrite, network: Network
) -> Result[WirePreview, Problem]:
    """Return what would be posted if no other event waited; fail with `Forbidden`."""
    where = _endpoint(options)
    return _post.describe(
        where,
        _post.headers_for(payload, where),
        _compose([payload]),
        network,
        framing="one sample of one series; a request may hold others, too",
    )


def _pieces(options: RemoteWrite, _format: Format) -> Pieces:
    """Return how samples share a request: those of a series in their order, as receivers want them."""
    return replace(pieces_of_requests(options.batch_size, BATCH_BYTES), ascending=True)


SINK: Final = Sink(
    RemoteWrite,
    push_by_kind,
    describe,
    send_many=send_many_by_kind,
    open=open_queues,
    headers_name_tenant=True,
    pieces=_pieces,
)
