"""Scenarios for scripts and notebooks: load a plan, look at its events, run it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from returns.result import Failure, Result

from sonda.loops import run as run_loop
from sonda.pipeline.model import Log
from sonda.pipeline.problems import Malformed, Problem, ValidationIssue
from sonda.pipeline.samples import samples
from sonda.pipeline.scenarios.compile import compile_document
from sonda.pipeline.scenarios.issue_positions import with_positions
from sonda.pipeline.scenarios.local_files import open_rows
from sonda.pipeline.scenarios.plan import Scenario as Plan
from sonda.pipeline.scenarios.reading import Document, from_tree, read_file
from sonda.pipeline.scenarios.report import Report
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.values.timestamps import rfc3339


def load_scenario(source: str | os.PathLike[str] | Mapping[str, Any]) -> Result[Plan, Problem]:
    """Compile a scenario: a file in YAML or JSON, or what would stand in one.

    In a file `${NAME}` is replaced from the environment. Fails with `Malformed` or `Invalid`, which
    name the file, the line and the column of each mistake; a file that cannot be read is `Malformed`.
    """
    if isinstance(source, Mapping):
        return from_tree(source).bind(_compile)
    name = os.fspath(source)
    try:
        raw = Path(source).read_bytes()
    except OSError as exc:
        return Failure(Malformed((ValidationIssue("", f"cannot read {name}: {exc.strerror}"),)))
    document = read_file(raw, os.environ)
    return document.bind(_compile).alt(partial(with_positions, name, raw))


def _compile(document: Document) -> Result[Plan, Problem]:
    return compile_document(document, now_ns=time.time_ns(), open_text=open_rows)


def Scenario(**keys: Any) -> Result[Plan, Problem]:  # noqa: N802  # reads as what it makes
    """Compile a scenario from its keys: `Scenario(name="cpu", signal_type="metrics", rate=1, …)`.

    Fails as `load_scenario` does.
    """
    return load_scenario(keys)


def sample(scenario: Plan, count: int) -> list[dict[str, Any]]:
    """Return the first *count* events as rows of a table, such as a DataFrame's; nothing is sent.

    A histogram or a summary is a row for each of its samples.
    """
    rows = []
    for _, tick, entry, event in islice(scenario.ordered(), count):
        shared = {
            "entry": entry.id,
            "tick": tick,
            "timestamp": rfc3339(event.time_ns),
        }
        if isinstance(event, Log):
            own = {
                "name": entry.name,
                "labels": dict(event.labels),
                "severity": event.severity,
                "message": event.message,
                "fields": dict(event.fields),
            }
            rows.append({**shared, **own})
        else:
            rows += [
                {**shared, "name": one.name, "labels": dict(one.labels), "value": one.value}
                for one in samples(event)
            ]
    return rows


def run(scenario: Plan) -> Run:
    """Return a run of *scenario*, which starts when its context is entered."""
    return Run(scenario)


async def run_scenario_async(scenario: Plan) -> Result[Report, Problem]:
    """Run *scenario* to its end, and return what it has come to."""
    async with run(scenario) as running:
        return await running.report()


def run_scenario(scenario: Plan) -> Result[Report, Problem]:
    """Run *scenario* to its end from code that is not async; one without an end runs for ever.

    Works where an event loop is running, too, as in a notebook, but blocks it meanwhile.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_loop(run_scenario_async(scenario))
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        return elsewhere.submit(run_loop, run_scenario_async(scenario)).result()
