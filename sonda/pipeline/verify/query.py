"""Queries over HTTP: where they go, with which headers, and what an answer's status means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from sonda.pipeline.text.escape import excerpt
from sonda.pipeline.values.addresses import address_of, parse_http_url
from sonda.pipeline.verify.judging import QueryRefused

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Query:
    """One GET request; the headers may hold credentials."""

    url: httpx.URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def build_query(
    base: httpx.URL,
    path: str,
    parameters: Mapping[str, str],
    *,
    sink_url: httpx.URL,
    sink_headers: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
) -> Query:
    """Return the query for *path* below *base*, with *headers* of its own.

    The sink's headers hold credentials for the sink's destination: they are sent along only where
    *base* has the scheme, host and port of *sink_url*.
    """
    raw_path, _, kept = base.raw_path.partition(b"?")
    url = base.copy_with(raw_path=raw_path.removesuffix(b"/") + path.encode("ascii") + b"?" + kept)
    url = url.copy_merge_params(parameters)
    given = dict(sink_headers) if origin(base) == origin(sink_url) else {}
    return Query(url, {**given, **(headers or {})})


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return the scheme, host and port; spec: RFC 6454, section 4."""
    address = address_of(url)
    return url.scheme, address.host.lower(), address.port


def parse_base(text: str) -> httpx.URL:
    """Return the URL that *text* is; raise `ValueError` with the reason."""
    return parse_http_url(text)


def read_answer(status: int, body: bytes) -> Any | QueryRefused:
    """Return the `data` of an answer of Prometheus's or Loki's query API, or why there is none.

    A 4xx but 408 and 429 speaks of the query itself: the next one would be answered alike.
    """
    if status != HTTPStatus.OK:
        passing = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        is_final = (
            HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
            and status not in passing
        )
        return QueryRefused(f"{status} {excerpt(body.decode(errors='replace'))}".strip(), is_final)
    try:
        document = msgspec.json.decode(body)
        data = document["data"]["result"]
    except (msgspec.DecodeError, KeyError, TypeError):
        text = excerpt(body.decode(errors="replace"))
        return QueryRefused(f"200 with what is no answer: {text}")
    return data


def quote_string(text: str) -> str:
    """Return *text* as a string literal of LogQL and PromQL, which both read Go's escapes."""
    return msgspec.json.encode(text).decode()


def selector(labels: Mapping[str, str]) -> str:
    """Return the matchers for *labels*, such as `{app="web",env="prod"}`."""
    pairs = (f"{name}={quote_string(value)}" for name, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


def without_empty(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that have a value: for Prometheus and Loki an empty label is none."""
    return {name: value for name, value in labels.items() if value}
