"""What a real Prometheus makes of `/metrics`: every panel and every alert of ours has something to show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.server.test_server import post, slow_destination
from tests.support.destinations import http_destination
from tests.support.serving import Serving, serving

from .conftest import installed
from .prometheus import Prometheus, start_prometheus
from .web import read_json

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
DASHBOARD: Final = json.loads(
    (DEPLOY / "grafana" / "dashboards" / "sonda-server.json").read_text(encoding="utf-8")
)
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yaml"
QUERIES: Final = [
    pytest.param(target["expr"], id=f"{panel['title']}, {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
KEY: Final = "the-key"
CONFIG: Final = """
global:
  scrape_interval: 250ms
  evaluation_interval: 250ms
rule_files: [{alerts}]
scrape_configs:
  - job_name: sonda
    authorization:
      credentials: {key}
    static_configs:
      - targets: ["{target}"]
"""
LOG: Final = {
    "signal_type": "logs",
    "labels": {},
    "log": {"severity": "info", "message": "x"},
    "encoder": {"type": "json_lines"},
}
SCENARIO: Final = {
    "signal_type": "logs",
    "name": "x",
    "rate": 1,
    "count": 1,
    "log_generator": {"type": "template", "templates": ["x"]},
}
RETRY: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}


def send(server: Serving, sink: dict[str, Any], status: int) -> None:
    """Send one event, which must be answered with *status*."""
    body = json.dumps({**LOG, "sink": sink}).encode()
    reply = server.ask(post(body, b"Authorization: Bearer " + KEY.encode()))
    assert reply.status == status


def run_scenario(server: Serving, name: str) -> None:
    """Start a run that sends one event."""
    body = json.dumps({**SCENARIO, "scenario_name": name}).encode()
    key = b"Authorization: Bearer " + KEY.encode()
    assert server.ask(post(body, key, path=b"/scenarios")).status == 201


@pytest.fixture(scope="module")
def scraping() -> Iterator[Prometheus]:
    """Run a server with two workers and a Prometheus that scrapes it, between two mixes of events."""
    with ExitStack() as stack:
        names = iter(("first", "second"))
        away = stack.enter_context(http_destination())
        silent, _ = stack.enter_context(slow_destination())
        server = stack.enter_context(serving("--workers", "2", environ={"SONDA_API_KEY": KEY}))

        def send_each_outcome() -> None:
            run_scenario(server, next(names))
            send(server, {"type": "stdout"}, 200)
            send(server, {"type": "http_push", "url": away.url}, 200)
            failing = {"type": "http_push", "url": f"{away.url}/s/500", "retry": RETRY}
            send(server, failing, 502)
            send(server, {"type": "http_push", "url": silent, "timeout": "1s"}, 504)
            send(server, {"type": "tcp", "address": "x"}, 422)
            assert server.ask(post(b"{}")).status == 401

        send_each_outcome()
        config = CONFIG.format(alerts=ALERTS, key=KEY, target=f"{server.host}:{server.port}")
        prometheus = stack.enter_context(start_prometheus(installed("prometheus"), config))
        prometheus.wait_for("sonda_events_total")
        send_each_outcome()
        yield prometheus


def evaluated(prometheus: Prometheus, query: str) -> list[float]:
    """Give the numbers that a query comes to now."""
    answer = read_json(prometheus.web.get("/api/v1/query", query=query))
    values = [float(found["value"][1]) for found in answer["data"]["result"]]
    return [value for value in values if not math.isnan(value)]


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_has_something_to_show(scraping: Prometheus, query: str) -> None:
    """Its query returns a sample, and a number, once events of every outcome were sent."""
    asked = query.replace("$__rate_interval", "1m")
    found = scraping.web.poll(lambda: evaluated(scraping, asked), count=1)
    assert all(value >= 0 for value in found)


def test_every_outcome_is_drawn(scraping: Prometheus) -> None:
    """The counts that Prometheus has are those of the events that were sent, over both workers."""
    query = 'sum by (outcome) (sonda_events_total{origin="request"})'

    def look() -> list[dict[str, float]]:
        answer = read_json(scraping.web.get("/api/v1/query", query=query))
        found = {
            series["metric"]["outcome"]: float(series["value"][1])
            for series in answer["data"]["result"]
        }
        return [found] if sum(found.values()) == 10 else []

    (counted,) = scraping.web.poll(look, count=1)
    assert counted == {"delivered": 4, "rejected": 2, "unknown": 2, "invalid": 2}


def test_every_alert_is_understood(scraping: Prometheus) -> None:
    """Prometheus evaluates each rule without an error, and an alert that should be pending is."""

    def look() -> list[dict[str, Any]]:
        answer = read_json(scraping.web.get("/api/v1/rules"))
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        done = all(rule["health"] != "unknown" for rule in rules)
        pending = any(rule["state"] == "pending" for rule in rules)
        return rules if done and pending else []

    rules = scraping.web.poll(look, count=1)
    assert {rule["health"] for rule in rules} == {"ok"}
    states = {rule["name"]: rule["state"] for rule in rules}
    assert states["SondaEventsFail"] == "pending"
    assert states["SondaWorkersDie"] == "inactive"


def test_prometheus_takes_the_scrape(scraping: Prometheus) -> None:
    """The target is up, in the format that Prometheus asks for."""
    (target,) = read_json(scraping.web.get("/api/v1/targets"))["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
