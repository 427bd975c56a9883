"""A Prometheus remote-write receiver: one event, one request.

The request's headers and its compression come with the payload, from the encoder that knows which
version of the protocol it writes.

**Confirmed:** a 2xx answer, read whole: the receiver has taken the sample.
Spec: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from returns.result import Result

from sonda.pipeline.addresses import parse_http_url
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Payload, Pending
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import Sink, _post
from sonda.pipeline.transport import Transport
from sonda.pipeline.transport.tls import Tls
from sonda.pipeline.transport.tries import Retry


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


async def push(
    payload: Payload, options: RemoteWrite, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Post the request, packed as its version of the protocol says."""
    post = _post.Post(
        target=options.url,
        url=parse_http_url(options.url),
        defaults={"Content-Type": payload.content_type, **payload.packing.headers},
        headers=options.headers,
        body=payload.packing.pack(payload.body),
        time_ns=payload.event.time_ns,
        is_yes=_post.is_2xx,
    )
    return await _post.start(post, options.tls, options.retry, transport, deadline)


SINK: Final = Sink(RemoteWrite, push)
