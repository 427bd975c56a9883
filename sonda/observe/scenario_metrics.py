"""What the runner of scenarios says of its runs, as metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric

STATES: Final = ("pending", "running", "stopping", "finished")
ORIGIN: Final = "origin"
REQUEST: Final = "request"
_SCENARIO: Final = "scenario"


def scenario_events(status: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], float]]:
    """Yield the labels of each series of events, the origin included, and its count."""
    for *names, count in status.get("events", ()):
        yield [*names, _SCENARIO], count


def scenario_families(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the metrics of the runs; none where the runner does not answer."""
    if not status:
        return
    runs = GaugeMetricFamily("sonda_scenarios", "Runs of scenarios by state.", labels=("state",))
    for state in STATES:
        runs.add_metric((state,), status["states"].get(state, 0))
    yield runs
    yield GaugeMetricFamily(
        "sonda_scenarios_degraded",
        "Runs in which something has failed and nothing was delivered for 30 seconds.",
        value=status["degraded"],
    )
    yield GaugeMetricFamily(
        "sonda_scenarios_lag_seconds",
        "How late the oldest event of all runs is that has no verdict.",
        value=status["lag_s"],
    )
    yield GaugeMetricFamily(
        "sonda_scenarios_unrecorded",
        "1 where nothing is handed over because it cannot be recorded.",
        value=float(status["unrecorded"] is not None),
    )
