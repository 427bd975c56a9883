"""Grafana Loki, or a server that speaks its push API: one stream per label set.

**Confirmed:** Loki's 204, or the 200 of a compatible server. Any other status is a no: Loki
answers 260 when ingestion is blocked.
Spec: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

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

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Loki:
    """Options of the `loki` sink; *url* is the base that `/loki/api/v1/push` is appended to."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int = 1000
    max_streams_per_push: int = 128
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


async def push(
    payload: Payload, options: Loki, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Post the event as one entry: the encoder's line without its last line feed."""
    post = _post.Post(
        sink="loki",
        target=options.url,
        url=_push_url(options.url),
        defaults={"Content-Type": "application/json"},
        headers=options.headers,
        body=_body(payload),
        time_ns=payload.event.time_ns,
        is_yes=lambda status: status in (HTTPStatus.NO_CONTENT, HTTPStatus.OK),
    )
    return await _post.start(post, options.tls, options.retry, transport, deadline)


def _push_url(base: str) -> httpx.URL:
    url = parse_http_url(base)
    path, mark, query = url.raw_path.partition(b"?")  # raw: a %2F in it stays one
    return url.copy_with(raw_path=path.removesuffix(b"/") + b"/loki/api/v1/push" + mark + query)


def _body(payload: Payload) -> bytes:
    line = payload.body.decode().removesuffix("\n")
    entry = [str(payload.event.time_ns), line]
    streams = [{"stream": dict(payload.event.labels), "values": [entry]}]
    return json.dumps({"streams": streams}, ensure_ascii=False, separators=(",", ":")).encode()


SINK: Final = Sink(Loki, push)
