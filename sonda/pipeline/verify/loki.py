"""Loki: a range query over the one nanosecond of the entry.

Spec: https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from sonda.pipeline.values.addresses import parse_http_url
from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused, Verdict
from sonda.pipeline.verify.query import (
    Query,
    build_query,
    look_by,
    parse_base,
    read_answer,
    selector,
    verify_url,
    without_empty,
)

if TYPE_CHECKING:
    import httpx

    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import EncodedEvent, Receipt
    from sonda.pipeline.net import Network
    from sonda.pipeline.verify import Look

_PUSH: Final = b"/loki/api/v1/push"
_ADDED: Final = ("service_name", "detected_level")  # labels that Loki sets by itself
_UNKNOWN_SERVICE: Final = {"service_name": "unknown_service"}
_LIMIT: Final = 1000


def look_for(event: EncodedEvent, receipt: Receipt, network: Network, deadline: Deadline) -> Look:  # noqa: ARG001  # not needed here
    """Return what asks Loki for the entry of *event*."""
    options, log = event.validated.sink.options, event.validated.event
    query = ask(options.url, options.headers, verify_url(event), log.labels, log.time_ns)
    line = event.payload.body.decode().removesuffix("\n")
    return partial(
        look_by,
        query,
        lambda status, body: judge(status, body, log.labels, log.time_ns, line),
        event=event,
        network=network,
        deadline=deadline,
    )


def ask(
    sink_url: str,
    headers: Mapping[str, str],
    base: str | None,
    labels: Mapping[str, str],
    time_ns: int,
) -> Query:
    """Return the query for the entries of *time_ns* in streams that have *labels*.

    *base*, if given, replaces the base of *sink_url*. Without labels the entry is asked for as
    Loki files it: under `service_name="unknown_service"`.
    """
    posted_to = parse_http_url(sink_url)
    parameters = {
        "query": selector(without_empty(labels) or _UNKNOWN_SERVICE),
        "start": str(time_ns),
        "end": str(time_ns + 1),
        "limit": str(_LIMIT),
        "direction": "forward",
    }
    where = parse_base(base) if base is not None else _base(sink_url)
    # with this flag the labels of a stream and the metadata of an entry come back apart
    flags = {"X-Loki-Response-Encoding-Flags": "categorize-labels", "Accept": "application/json"}
    return build_query(
        where,
        "/loki/api/v1/query_range",
        parameters,
        sink_url=posted_to,
        sink_headers=headers,
        headers=flags,
    )


def _base(sink_url: str) -> httpx.URL:
    url = parse_http_url(sink_url)
    path, mark, query = url.raw_path.partition(b"?")
    path = path.removesuffix(b"/").removesuffix(_PUSH)
    return url.copy_with(raw_path=(path or b"/") + mark + query)


def judge(status: int, body: bytes, labels: Mapping[str, str], time_ns: int, line: str) -> Verdict:
    """Return what the answer proves of the entry *line* at *time_ns* in the stream of *labels*."""
    data = read_answer(status, body)
    if isinstance(data, QueryRefused):
        return data
    expected = without_empty(labels)
    other: str | None = None
    try:
        for stream in data:
            if not _is_of(stream["stream"], expected):
                continue
            for stamp, text, *_metadata in stream["values"]:
                if stamp == str(time_ns) and text == line:
                    return SEEN
                if stamp == str(time_ns):
                    other = text
    except (KeyError, TypeError, ValueError):
        return QueryRefused("200 with what is no list of streams")
    return NOT_SEEN if other is None else Different(line, other)


def _is_of(stream: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether a stream has exactly *labels*, but for those that Loki adds."""
    theirs = {name: value for name, value in stream.items() if name in labels or name not in _ADDED}
    return theirs == labels
