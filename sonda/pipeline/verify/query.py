"""Queries over HTTP: where they go, with which headers, and what an answer's status means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from returns.result import Success

from sonda.pipeline.text.escape import excerpt
from sonda.pipeline.text.redact import scrub, secrets_of_headers, secrets_of_userinfo
from sonda.pipeline.values.addresses import address_of, parse_http_url
from sonda.pipeline.verify.judging import QueryRefused, Verdict

if TYPE_CHECKING:
    import httpx

    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import EncodedEvent
    from sonda.pipeline.net import Network


@dataclass(frozen=True, slots=True)
class Query:
    """One GET request; the headers may hold credentials."""

    url: httpx.URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    is_sinks_own: bool = True
    """Whether it goes to the sink's own origin: its TLS files are for that alone."""


_LONGEST_URL: Final = 65_536  # of httpx
_TOO_LONG: Final = "the query would be longer than a URL may be"


class QueryTooLongError(ValueError):
    """The URL of a query would be longer than any that is sent."""


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
    *base* has the scheme, host and port of *sink_url*. Raise `QueryTooLongError`.
    """
    from httpx import InvalidURL

    raw_path, _, kept = base.raw_path.partition(b"?")
    target = raw_path.removesuffix(b"/") + path.encode("ascii") + b"?" + kept
    try:
        url = base.copy_with(raw_path=target).copy_merge_params(parameters)
    except InvalidURL:
        raise QueryTooLongError(_TOO_LONG) from None
    is_sinks_own = origin(base) == origin(sink_url)
    given = dict(sink_headers) if is_sinks_own else {}
    return Query(url, {**given, **(headers or {})}, is_sinks_own)


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return the scheme, host and port; spec: RFC 6454, section 4."""
    address = address_of(url)
    return url.scheme, address.host.lower(), address.port


def verify_url(event: EncodedEvent) -> str | None:
    """Return the URL that replaces the base of the sink's own, if the body names one."""
    return event.validated.verify.url if event.validated.verify is not None else None


async def look_by(
    query: Query,
    judge: Callable[[int, bytes], Verdict],
    *,
    event: EncodedEvent,
    network: Network,
    deadline: Deadline,
) -> Verdict:
    """Send the query, and return what its answer proves; the answer's secrets are hidden."""
    from sonda.pipeline.net.http_query import get  # httpx costs 0.1 s to import

    sink = event.validated.sink
    answered = await get(
        query.url,
        query.headers,
        sink=sink.name,
        tls=sink.options.tls if query.is_sinks_own else None,
        network=network,
        deadline=deadline,
    )
    if not isinstance(answered, Success):
        verdict: Verdict = QueryRefused(answered.failure())
    else:
        verdict = judge(*answered.unwrap())
    if isinstance(verdict, QueryRefused):
        userinfo = query.url.userinfo.decode("ascii")
        secrets = (*secrets_of_headers(query.headers), *secrets_of_userinfo(userinfo))
        return replace(verdict, reason=scrub(verdict.reason, secrets))
    return verdict


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
    """Return the matchers for *labels*, such as `{app="web",env="prod"}`.

    Raise `QueryTooLongError` before it is made where no URL could hold it.
    """
    if sum(map(len, labels)) + sum(map(len, labels.values())) > _LONGEST_URL:
        raise QueryTooLongError(_TOO_LONG)
    pairs = (f"{name}={quote_string(value)}" for name, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


def without_empty(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that have a value: for Prometheus and Loki an empty label is none."""
    return {name: value for name, value in labels.items() if value}
