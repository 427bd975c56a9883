"""A fleet in a real Prometheus: every sample of the ledger is there, with its formula's value."""

from __future__ import annotations

import math
from uuid import uuid4

import pytest

import sonda

from .ledger import Ledger
from .prometheus import Prometheus
from .web import read_json

SERIES = 1000
RATE = 10
SECONDS = 3


def test_a_thousand_series(prometheus: Prometheus, landed: Ledger) -> None:
    """In real time: the ledger's delivered events are the samples that Prometheus counts."""
    name = f"sonda_{uuid4().hex}"
    document = {
        "signal_type": "metrics",
        "name": name,
        "rate": RATE,
        "duration": f"{SECONDS}s",
        "generator": {"type": "sine", "amplitude": 10, "period_secs": 60, "offset": 50},
        "series": SERIES,
        "series_phase": "spread",
        "encoder": {"type": "remote_write"},
        "sink": {"type": "remote_write", "url": prometheus.write_url},
    }
    scenario = sonda.load_scenario(document).unwrap()
    ledger = sonda.run_scenario(scenario).unwrap().ledger
    planned = SERIES * RATE * SECONDS
    assert (ledger.planned, ledger.delivered, ledger.unknown) == (planned, planned, 0)
    answer = prometheus.web.get("/api/v1/query", query=f"sum(count_over_time({name}[10m]))")
    [found] = read_json(answer)["data"]["result"]
    count = int(found["value"][1])
    landed.record("prometheus remote_write", sent=ledger.delivered, found=count)
    assert count == planned
    [middle] = [one for one in prometheus.stored(name) if one.labels["series"] == "250"]
    for tick, (_, value) in enumerate(middle.samples):
        turned = tick / RATE / 60 + 250 / SERIES
        assert value == pytest.approx(50 + 10 * math.sin(2 * math.pi * turned), abs=1e-9)
    began_s, ended_s = middle.samples[0][0] / 1000, middle.samples[-1][0] / 1000
    span = {"start": f"{began_s:.3f}", "end": f"{ended_s:.3f}", "step": "0.5"}
    drawn = prometheus.web.get("/api/v1/query_range", query=f'{name}{{series="250"}}', **span)
    [line] = read_json(drawn)["data"]["result"]
    made = [scenario.event(name, tick * SERIES + 250) for tick in range(RATE * SECONDS)]
    assert [float(value) for _, value in line["values"]] == [
        event.value for event in made[:: RATE // 2] if isinstance(event, sonda.Metric)
    ]
