"""Histograms and summaries in a real Prometheus: its own functions find what the formulas say."""

from __future__ import annotations

import math
from typing import Any
from uuid import uuid4

import pytest

import sonda

from .ledger import Ledger
from .prometheus import Prometheus
from .web import read_json

TICKS = 600
PER_TICK = 100


def _run(prometheus: Prometheus, **changes: Any) -> sonda.Report:
    document = {
        "rate": 10,
        "count": TICKS,
        "pace": "max",
        "start_time": "-70s",
        "observations_per_tick": PER_TICK,
        "encoder": {"type": "remote_write"},
        "sink": {"type": "remote_write", "url": prometheus.write_url},
        **changes,
    }
    report = sonda.run_scenario(sonda.load_scenario(document).unwrap()).unwrap()
    assert report.ledger.delivered == TICKS, str(report)
    return report


def _query(prometheus: Prometheus, query: str) -> float:
    answer = read_json(prometheus.web.get("/api/v1/query", query=query))
    [found] = answer["data"]["result"]
    return float(found["value"][1])


def test_histogram_quantile_finds_the_distributions_quantiles(
    prometheus: Prometheus, landed: Ledger
) -> None:
    """Every series of every tick has landed, and the quantiles are those of the formula."""
    name = f"sonda_{uuid4().hex}"
    buckets = [place / 50 for place in range(1, 51)]
    distribution = {"type": "exponential", "rate": 10}
    _run(prometheus, signal_type="histogram", name=name, distribution=distribution, buckets=buckets)
    stored = prometheus.wait_for(f"{name}_bucket", count=TICKS * (len(buckets) + 1))
    assert {len(series.samples) for series in stored} == {TICKS}
    [count] = prometheus.stored(f"{name}_count")
    assert [value for _, value in count.samples] == [PER_TICK * (k + 1) for k in range(TICKS)]
    landed.record("prometheus remote_write", sent=TICKS, found=len(count.samples))
    for part in (0.5, 0.9, 0.99):
        query = f"histogram_quantile({part}, rate({name}_bucket[1m]))"
        expected = -math.log(1 - part) / 10
        assert _query(prometheus, query) == pytest.approx(expected, abs=0.01)
    mean = f"rate({name}_sum[1m]) / rate({name}_count[1m])"
    assert _query(prometheus, mean) == pytest.approx(0.1, rel=0.02)


def test_a_summary_has_its_quantiles(prometheus: Prometheus, landed: Ledger) -> None:
    """Each quantile is a series around the formula's value; sum and count go on."""
    name = f"sonda_{uuid4().hex}"
    _run(
        prometheus,
        signal_type="summary",
        name=name,
        distribution={"type": "normal", "mean": 0.2, "stddev": 0.05},
    )
    stored = prometheus.wait_for(name, count=4 * TICKS)
    assert sorted(series.labels["quantile"] for series in stored) == ["0.5", "0.9", "0.95", "0.99"]
    landed.record("prometheus remote_write", sent=TICKS, found=len(stored[0].samples))
    assert _query(prometheus, f'avg_over_time({name}{{quantile="0.5"}}[2m])') == pytest.approx(
        0.2, abs=0.005
    )
    mean = f"rate({name}_sum[1m]) / rate({name}_count[1m])"
    assert _query(prometheus, mean) == pytest.approx(0.2, rel=0.01)
