"""A histogram or a summary as Prometheus has it: samples of several series at one time.

Spec: https://prometheus.io/docs/instrumenting/exposition_formats/#histograms-and-summaries
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.model import Event, Log, Metric

BOUND: Final = "le"
"""The label of a bucket's upper bound."""
QUANTILE: Final = "quantile"
"""The label of a summary's quantile."""


def samples(event: Metric | Histogram | Summary) -> list[Metric]:
    """Return the samples that an event consists of, in their order; a metric is its only one."""
    if isinstance(event, Metric):
        return [event]
    return [
        Metric(
            name=name,
            value=value,
            labels=labels,
            timestamp=event.timestamp,
            encoder=event.encoder,
            sink=event.sink,
            time_ns=event.time_ns,
        )
        for name, labels, value in _parts(event)
    ]


def one_by_one(event: Event) -> Sequence[Log | Metric]:
    """Return an event as those that `POST /events` takes: a histogram or a summary is many."""
    return [event] if isinstance(event, Log) else samples(event)


def _parts(event: Histogram | Summary) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield the name, the labels and the value of each sample."""
    if isinstance(event, Histogram):
        for bound, count in zip(event.bounds, event.counts, strict=True):
            yield f"{event.name}_bucket", {**event.labels, BOUND: number(bound)}, float(count)
        yield f"{event.name}_bucket", {**event.labels, BOUND: "+Inf"}, float(event.count)
    else:
        for quantile, value in zip(event.quantiles, event.values, strict=True):
            yield event.name, {**event.labels, QUANTILE: number(quantile)}, value
    yield f"{event.name}_sum", event.labels, event.total
    yield f"{event.name}_count", event.labels, float(event.count)


def values_of(event: Histogram | Summary) -> list[float]:
    """Return the values of an event's samples, in their order."""
    count = float(event.count)
    if isinstance(event, Histogram):
        return [*map(float, event.counts), count, event.total, count]
    return [*event.values, event.total, count]


def number(value: float) -> str:
    """Return a bound or a quantile as the value of its label: the shortest text that reads back."""
    return repr(float(value)).removesuffix(".0")
