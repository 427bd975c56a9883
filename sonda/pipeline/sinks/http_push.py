"""Any HTTP endpoint that takes a POST: one event, one request.

**Confirmed:** a 2xx answer, read whole: the endpoint accepted the event. A redirect is a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from returns.result import Result

from sonda.pipeline.addresses import parse_http_url
from sonda.pipeline.credentials import repr_without_secrets
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Payload, Pending
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import Sink, _post
from sonda.pipeline.transport import Transport
from sonda.pipeline.transport.tls import Tls
from sonda.pipeline.transport.tries import Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPush:
    """Options of the `http_push` sink; a `Content-Type` in *headers* wins over *content_type*."""

    url: str
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int = 1000
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


async def push(
    payload: Payload, options: HttpPush, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Post the encoder's bytes as they are."""
    post = _post.Post(
        sink="http_push",
        target=options.url,
        url=parse_http_url(options.url),
        defaults={"Content-Type": options.content_type or payload.content_type},
        headers=options.headers,
        body=payload.body,
        time_ns=payload.event.time_ns,
        is_yes=_is_2xx,
    )
    return await _post.start(post, options.tls, options.retry, transport, deadline)


def _is_2xx(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


SINK: Final = Sink(HttpPush, push)
