"""The scrape endpoints of scenarios, read by promtool and by a real Prometheus."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.scenarios import wait_for_values
from tests.support.serving import Serving, serving

from .conftest import installed
from .prometheus import Prometheus, Series, start_prometheus

RATE: Final = 20
CONFIG: Final = """
global:
  scrape_interval: 200ms
scrape_configs:
  - job_name: all
    metrics_path: /scenarios/metrics
    static_configs:
      - targets: ["{target}"]
  - job_name: one
    metrics_path: /scenarios/{run}/metrics
    static_configs:
      - targets: ["{target}"]
"""
DOCUMENT: Final[dict[str, Any]] = {
    "scenario_name": "scraped",
    "defaults": {"rate": RATE, "sink": {"type": "file", "path": "scraped.txt"}},
    "scenarios": [
        {
            "signal_type": "metrics",
            "name": "scraped_requests_total",
            "help": 'Requests, by \\ and \n and ".',
            "generator": {"type": "step", "step_size": 1},
        },
        {
            "signal_type": "metrics",
            "name": "scraped_temperature_celsius",
            "generator": {"type": "constant", "value": -1.5},
            "labels": {"room": 'a"b\\c\nd'},
            "dynamic_labels": [{"key": "floor", "cardinality": 3}],
        },
        {
            "signal_type": "logs",
            "name": "scraped_log",
            "log_generator": {"type": "template", "templates": ["x"]},
        },
    ],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, str]]:
    """A server with two workers, and the id of its run, each entry of which has had its first tick."""
    root = tmp_path_factory.mktemp("root")
    with serving("--workers", "2", "--file-root", str(root)) as server:
        run = httpx.post(f"{server.url}/scenarios", json=DOCUMENT, timeout=30).json()["id"]
        for name in (None, "scraped_requests_total", "scraped_temperature_celsius"):
            wait_for_values(server, f"{run}.{name}" if name else run)
        yield server, run


def _checked(text: str) -> subprocess.CompletedProcess[str]:
    program = Path(installed("prometheus")) / "root/usr/bin/promtool"
    return subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("path", ["/scenarios/metrics", "/scenarios/{run}/metrics"])
def test_promtool_finds_nothing_wrong(running: tuple[Serving, str], path: str) -> None:
    """It parses, and there is nothing to lint: each metric has a help text and the right type."""
    server, run = running
    text = httpx.get(f"{server.url}{path.format(run=run)}", timeout=30).text
    assert "scraped_requests_total " in text
    checked = _checked(text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert _checked(text.replace("scraped_requests_total ", "scraped requests ")).returncode != 0


def test_prometheus_stores_what_the_generators_make(running: tuple[Serving, str]) -> None:
    """It asks for OpenMetrics, and stores a count that goes on with the plan, and a constant in each series."""
    server, run = running
    config = CONFIG.format(target=f"{server.host}:{server.port}", run=run)
    with start_prometheus(installed("prometheus"), config) as prometheus:
        counted = _by_job(prometheus, "scraped_requests_total", count=20)
        rooms = _by_job(prometheus, "scraped_temperature_celsius", count=30)
    assert set(counted) == set(rooms) == {"all", "one"}
    for series in counted.values():
        [(first_ms, first), *rest] = series[0].samples
        for time_ms, value in rest:
            assert value == int(value)
            assert value - first == pytest.approx((time_ms - first_ms) / 1000 * RATE, abs=RATE)
        assert rest[-1][1] > first
    for found in rooms.values():
        assert {series.labels["floor"] for series in found} == {"floor_0", "floor_1", "floor_2"}
        for room in found:
            assert room.labels["room"] == 'a"b\\c\nd'
            assert {value for _, value in room.samples} == {-1.5}


def _by_job(prometheus: Prometheus, name: str, *, count: int) -> dict[str, list[Series]]:
    """Return the series of a metric by the job that has scraped them, once there are *count* samples."""
    found: dict[str, list[Series]] = {}
    for series in prometheus.wait_for(name, count=count):
        found.setdefault(series.labels["job"], []).append(series)
    return found
