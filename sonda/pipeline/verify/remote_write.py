"""Prometheus and what speaks its query API: a range selector over the one millisecond of the sample.

Spec: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, cast

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
    from sonda.pipeline.model import EncodedEvent, Metric, Receipt
    from sonda.pipeline.net import Network
    from sonda.pipeline.verify import Look

_WRITE: Final = b"/api/v1/write"
_NS_PER_MS: Final = 1_000_000


def look_for(event: EncodedEvent, receipt: Receipt, network: Network, deadline: Deadline) -> Look:  # noqa: ARG001  # not needed here
    """Return what asks Prometheus for the sample of *event*."""
    options, metric = event.validated.sink.options, cast("Metric", event.validated.event)
    series = (metric.labels, metric.name, metric.time_ns)
    query = ask(options.url, options.headers, verify_url(event), *series)
    return partial(
        look_by,
        query,
        lambda status, body: judge(status, body, *series, metric.value),
        event=event,
        network=network,
        deadline=deadline,
    )


def query_base(sink_url: str) -> httpx.URL | None:
    """Return the URL less `/api/v1/write`; `None` where it does not end so."""
    url = parse_http_url(sink_url)
    path, mark, query = url.raw_path.partition(b"?")
    path = path.removesuffix(b"/")
    if not path.endswith(_WRITE):
        return None
    return url.copy_with(raw_path=(path.removesuffix(_WRITE) or b"/") + mark + query)


def ask(
    sink_url: str,
    headers: Mapping[str, str],
    base: str | None,
    labels: Mapping[str, str],
    name: str,
    time_ns: int,
) -> Query:
    """Return the query for the samples of the series *name*, *labels* at *time_ns*.

    *base*, if given, replaces the base of *sink_url*. Raise `ValueError` where neither is one:
    validation has seen to that.
    """
    where = parse_base(base) if base is not None else query_base(sink_url)
    if where is None:
        raise ValueError(
            "the sink's URL does not end with /api/v1/write, and there is no verify.url"
        )
    time_ms = time_ns // _NS_PER_MS
    series = selector({"__name__": name, **without_empty(labels)})
    parameters = {
        "query": f"{series}[1ms]",
        "time": f"{time_ms // 1000}.{time_ms % 1000:03d}",
        "nocache": "1",  # VictoriaMetrics: look at what has just come; others ignore it
    }
    return build_query(
        where,
        "/api/v1/query",
        parameters,
        sink_url=parse_http_url(sink_url),
        sink_headers=headers,
        headers={"Accept": "application/json"},
    )


def judge(
    status: int, body: bytes, labels: Mapping[str, str], name: str, time_ns: int, value: float
) -> Verdict:
    """Return what the answer proves of the sample *value* at *time_ns* in the series."""
    data = read_answer(status, body)
    if isinstance(data, QueryRefused):
        return data
    expected = {"__name__": name, **without_empty(labels)}
    other: float | None = None
    try:
        for series in data:
            if series["metric"] != expected:
                continue
            for time_s, text in series["values"]:
                if round(time_s * 1000) != time_ns // _NS_PER_MS:
                    continue
                found = float(text)
                if repr(found) == repr(value):  # -0.0 equals 0.0, and is not what was sent
                    return SEEN
                other = found
    except (KeyError, TypeError, ValueError):
        return QueryRefused("200 with what is no list of series")
    return NOT_SEEN if other is None else Different(repr(value), repr(other))
