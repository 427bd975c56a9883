"""Runs of scenarios with `pace: max`: the ledger says what the destination has, to the event."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import pytest

import sonda

from .collector import Collector
from .kafka import Kafka
from .ledger import Ledger
from .loki import Loki
from .prometheus import Prometheus
from .victoriametrics import VictoriaMetrics
from .web import Web, read_json

COUNT: Final = 3_000
MESSAGES: Final = {"type": "template", "templates": ["m{tick}"]}
WAVE: Final = {"type": "sine", "amplitude": 10, "period_secs": 60}


def delivered(**entry: Any) -> int:
    """Run an entry of COUNT events; return how many of them its ledger calls delivered: all."""
    what = (
        {"log_generator": MESSAGES}
        if entry["signal_type"] == "logs"
        else {"generator": WAVE, "dynamic_labels": [{"key": "pod", "cardinality": 10}]}
    )
    document = {"rate": 9000, "count": COUNT, "pace": "max", "start_time": "-1m", **what, **entry}
    report = sonda.run_scenario(sonda.load_scenario(document).unwrap()).unwrap()
    ledger = report.ledger
    assert (ledger.planned, ledger.due) == (COUNT, COUNT)
    assert (ledger.delivered, ledger.unknown, ledger.skipped) == (COUNT, 0, 0), str(report)
    return ledger.delivered


def counted(loki: Loki, run: str) -> int:
    """Return how many entries a run has in Loki."""
    query = {"query": f'sum(count_over_time({{run="{run}"}}[1h]))'}
    _, body = loki.request("GET", f"/loki/api/v1/query?{urlencode(query)}", timeout_s=30.0)
    (sample,) = json.loads(body)["data"]["result"]
    return int(sample["value"][1])


def counted_samples(web: Web, name: str) -> int:
    """Return how many samples a metric has, by Prometheus' query language."""
    answer = web.get("/api/v1/query", query=f'sum(count_over_time({{__name__="{name}"}}[1h]))')
    (found,) = read_json(answer)["data"]["result"]
    return int(found["value"][1])


def test_into_loki(loki: Loki, landed: Ledger) -> None:
    """Every event that the ledger calls delivered is there once, and no other is."""
    run = uuid4().hex
    sent = delivered(
        signal_type="logs", name="run", labels={"run": run}, sink={"type": "loki", "url": loki.url}
    )
    found = counted(loki, run)
    landed.record("loki", sent=sent, found=found)
    assert found == sent


@pytest.mark.parametrize("product", ["prometheus", "victoriametrics"])
def test_by_remote_write(product: str, request: pytest.FixtureRequest, landed: Ledger) -> None:
    """Ten series take turns."""
    backend: Prometheus | VictoriaMetrics = request.getfixturevalue(product)
    name = f"sonda_{uuid4().hex}"
    sent = delivered(
        signal_type="metrics",
        name=name,
        encoder={"type": "remote_write"},
        sink={"type": "remote_write", "url": f"{backend.web.url}/api/v1/write"},
    )
    if isinstance(backend, Prometheus):
        found = counted_samples(backend.web, name)
    else:
        found = sum(len(series.samples) for series in backend.export(name))
    landed.record(f"{product} remote_write", sent=sent, found=found)
    assert found == sent


def test_into_kafka(kafka: Kafka, landed: Ledger) -> None:
    """Each event is one record: none twice, none missing."""
    topic = kafka.create_topic(partitions=3)
    sink = {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": topic}
    sent = delivered(signal_type="logs", name="run", sink=sink)
    values = [json.loads(one.value)["message"] for one in kafka.read(topic, count=sent)]
    landed.record("kafka plain", sent=sent, found=len(values))
    assert sorted(values) == sorted(f"m{tick}" for tick in range(COUNT))


@pytest.mark.parametrize("signal", ["logs", "metrics"])
@pytest.mark.parametrize("sink", ["otlp_http", "otlp_grpc"])
def test_into_the_collector(sink: str, signal: str, collector: Collector, landed: Ledger) -> None:
    """Each record is there once, with its own time."""
    name, home = f"sonda_{uuid4().hex}", collector.home
    options = (
        {"endpoint": f"http://{home.http}"}
        if sink == "otlp_http"
        else {"endpoint": f"http://{home.grpc}", "signal_type": signal}
    )
    sent = delivered(
        signal_type=signal,
        name=name,
        labels={"run": name},
        encoder={"type": "otlp"},
        sink={"type": sink, **options},
    )
    found = collector.wait_for(lambda one: one.attributes.get("run") == name, count=sent)
    landed.record(
        "collector otlp_http" if sink == "otlp_http" else "collector grpc",
        sent=sent,
        found=len(found),
    )
    assert len(found) == sent
    assert len({one.time_ns for one in found}) == sent
