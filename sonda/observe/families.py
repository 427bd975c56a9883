"""The metrics of `GET /metrics`: their names, what they mean, and what their labels can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from sonda.envelope import CODES
from sonda.observe.record import ENCODERS, INVALID, OUTCOMES, SIGNALS, SINKS

STAGES: Final = ("validation", "encoding", "waiting", "acknowledgement")
STATUSES: Final = tuple(str(status) for status in CODES if status not in OUTCOMES)
SECONDS: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
EVENTS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

LabelNames: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what it is called and means, its labels' values, and a histogram's buckets.

    A histogram takes a cell for each bucket, one for what is above them all, and one for the sum.
    """

    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    name: str
    help: str
    labels: Mapping[str, tuple[str, ...]]
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        return len(self.buckets) + 2 if self.buckets else 1


FAMILIES: Final = (
    Family(
        CounterMetricFamily,
        "sonda_events",
        "Events by what became of them: delivered, rejected by the destination or never there, "
        "unknown, or invalid and not sent.",
        {
            "signal_type": SIGNALS,
            "encoder": ENCODERS,
            "sink": SINKS,
            "outcome": (*OUTCOMES.values(), INVALID),
        },
    ),
    Family(
        HistogramMetricFamily,
        "sonda_stage_duration_seconds",
        "How long an event took in validation and encoding, waiting in line for a push, and until "
        "the destination's acknowledgement.",
        {"stage": STAGES, "sink": SINKS},
        SECONDS,
    ),
    Family(
        HistogramMetricFamily,
        "sonda_visible_seconds",
        "How long after its acknowledgement an event that was read back could be queried.",
        {"sink": SINKS},
        SECONDS,
    ),
    Family(
        HistogramMetricFamily,
        "sonda_push_events",
        "Events per push: per write, request or call to a destination, whatever came of it.",
        {"sink": SINKS},
        EVENTS,
    ),
    Family(
        CounterMetricFamily,
        "sonda_retries",
        "Tries of an event after its first one.",
        {"sink": SINKS},
    ),
    Family(
        CounterMetricFamily,
        "sonda_rejected_requests",
        "Requests that were turned away before they were an event, by status and error code.",
        {"status": STATUSES},
    ),
    Family(
        CounterMetricFamily,
        "sonda_connections_opened",
        "Connections to destinations that were opened.",
        {"sink": SINKS},
    ),
    Family(
        GaugeMetricFamily,
        "sonda_open_connections",
        "Connections to destinations that are open, idle ones included.",
        {"sink": SINKS},
    ),
    Family(
        GaugeMetricFamily,
        "sonda_inflight_requests",
        "Requests under way, those that only ask how the server is left out.",
        {},
    ),
    Family(
        CounterMetricFamily,
        "sonda_log_lines_dropped",
        "Lines of the log that were dropped: standard error did not take them.",
        {},
    ),
    Family(
        CounterMetricFamily,
        "sonda_worker_restarts",
        "Workers that ended, and were replaced.",
        {},
    ),
)
