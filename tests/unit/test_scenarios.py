"""Scenarios as a script and a notebook use them."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure

import sonda
from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.report import Progress, Report

TEXT = """
scenario_name: demo
defaults: {rate: 100, count: 5, start_time: "2026-01-01T00:00:00Z", labels: {env: "${ENV:-test}"}}
scenarios:
- {signal_type: metrics, name: cpu, generator: {type: step, step_size: 1}}
- {signal_type: logs, name: app, log_generator: {type: template, templates: ["line {tick}"]}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Scenario:
    """A scenario that was loaded from a file."""
    file = tmp_path / "demo.yaml"
    file.write_text(TEXT)
    return sonda.load_scenario(file).unwrap()


def _to(path: Path) -> Scenario:
    written: dict[str, Any] = {
        "signal_type": "metrics",
        "name": "cpu",
        "rate": 1000,
        "count": 20,
        "generator": {"type": "constant", "value": 1},
        "sink": sonda.sinks.File(path=str(path)),
    }
    return sonda.Scenario(**written).unwrap()


def test_a_file_and_a_mapping_are_the_same(plan: Scenario) -> None:
    """The same document has the same events, by file and by library."""
    import yaml

    document = yaml.safe_load(TEXT.replace("${ENV:-test}", "test"))
    assert list(sonda.load_scenario(document).unwrap().events()) == list(plan.events())


def test_events_are_those_of_the_library(plan: Scenario) -> None:
    """Events come lazily, in the order in which they are due, with their stamps and their sink."""
    first, second = islice(plan.events(), 2)
    assert isinstance(first, sonda.Metric)
    assert isinstance(second, sonda.Log)
    assert first.timestamp == "2026-01-01T00:00:00.000000000Z"
    assert second.message == "line 0"
    assert sonda.preview(first).unwrap().document()["target"] == "stdout"
    assert plan.event("app", 3) == list(plan.events())[7]


def test_samples_are_rows(plan: Scenario) -> None:
    """A sample has a row per event, for a DataFrame."""
    rows = sonda.sample(plan, 3)
    assert rows[0] == {
        "entry": "cpu",
        "tick": 0,
        "timestamp": "2026-01-01T00:00:00.000000000Z",
        "name": "cpu",
        "labels": {"env": "test"},
        "value": 0.0,
    }
    assert rows[1]["message"] == "line 0"
    assert rows[2]["tick"] == 1
    assert len(sonda.sample(plan, 100)) == 10


def test_a_file_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """What cannot be read is a problem, not an exception."""
    failed = sonda.load_scenario(tmp_path / "none.yaml")
    assert isinstance(failed, Failure)
    assert "No such file or directory" in str(failed.failure())


def test_a_run_in_a_script(tmp_path: Path) -> None:
    """A script gets a report, which is a row of a table."""
    report = sonda.run_scenario(_to(tmp_path / "out")).unwrap()
    assert len((tmp_path / "out").read_text().splitlines()) == 20
    row = sonda.as_row(report)
    assert (row["outcome"], row["delivered"], row["name"]) == ("completed", 20, "cpu")
    assert str(report).startswith("cpu: completed after ")
    assert "completed" in report._repr_html_()


def test_a_run_in_a_notebook(tmp_path: Path) -> None:
    """A notebook watches the progress, and may leave: that stops the run."""

    async def main() -> tuple[list[Progress], Report]:
        seen = []
        async with sonda.run(_to(tmp_path / "out")) as run:
            async for progress in run:
                seen.append(progress)  # noqa: PERF401  # as a notebook would
            return seen, (await run.report()).unwrap()

    seen, report = asyncio.run(main())
    assert seen[-1].ledger == report.ledger
    assert report.ledger.delivered == 20


def test_leaving_stops_the_run(tmp_path: Path) -> None:
    """A run without an end ends with its context."""
    written = {
        "signal_type": "metrics",
        "name": "cpu",
        "rate": 100,
        "generator": {"type": "constant", "value": 1},
        "sink": {"type": "file", "path": str(tmp_path / "out")},
    }

    async def main() -> Report:
        async with sonda.run(sonda.load_scenario(written).unwrap()) as run:
            await asyncio.sleep(0)
        return (await run.report()).unwrap()

    report = asyncio.run(main())
    assert str(report.outcome) == "stopped"
    assert report.ledger.in_flight == 0
