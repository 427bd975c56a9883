"""How these tests write and compile scenarios."""

from __future__ import annotations

from typing import Any

from returns.result import Result

from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.compile import compile_document
from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.reading import from_tree, read_yaml

NOW_NS = 1_700_000_000_000_000_000


def compiled(document: dict[str, Any] | str) -> Result[Scenario, Problem]:
    """Compile a document, a mapping or YAML."""
    read = read_yaml(document.encode()) if isinstance(document, str) else from_tree(document)
    return read.bind(lambda found: compile_document(found, now_ns=NOW_NS))


def metric(**changes: Any) -> dict[str, Any]:
    """Return a valid entry of metrics, with *changes*; `None` takes a key out."""
    entry = {
        "signal_type": "metrics",
        "name": "cpu",
        "rate": 1,
        "generator": {"type": "constant", "value": 1},
    }
    return {name: value for name, value in {**entry, **changes}.items() if value is not None}


def log(**changes: Any) -> dict[str, Any]:
    """Return a valid entry of logs, with *changes*; `None` takes a key out."""
    entry = {
        "signal_type": "logs",
        "name": "app",
        "rate": 1,
        "log_generator": {"type": "template", "templates": ["order {tick}"]},
    }
    return {name: value for name, value in {**entry, **changes}.items() if value is not None}


def histogram(**changes: Any) -> dict[str, Any]:
    """Return a valid entry of histograms, with *changes*; `None` takes a key out."""
    entry = {
        "signal_type": "histogram",
        "name": "request_seconds",
        "rate": 1,
        "distribution": {"type": "exponential", "rate": 10},
    }
    return {name: value for name, value in {**entry, **changes}.items() if value is not None}
