"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from sonda.pipeline.plugins import extras
from sonda.pipeline.stages import validate
from tests.support.extras import REQUIRED, UNUSABLE

# A job in the background ignores these two, and so would every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

collect_ignore_glob = [f"*test_*{name}*.py" for name in UNUSABLE]


# `make test-all` tries ten times as many. A busy machine is slow, which is no failure of a test.
UNHURRIED: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", UNHURRIED, max_examples=25)
settings.register_profile("full", UNHURRIED, max_examples=250)
settings.load_profile("full" if os.environ.get("PROPERTIES") == "full" else "quick")


def pytest_report_header() -> list[str]:
    """Say which tests are left out: those whose file is named after what cannot be used here."""
    return [f"without {', '.join(UNUSABLE)}: no module, or no extra"] if UNUSABLE else []


HERE: Final = Path(__file__).parent
LONG: Final = (
    *("conformance", "fuzz/test_stages.py", "faults/test_stress.py"),
    *("server/test_hostile_bodies.py", "server/test_scenario_faults.py"),
    *("test_docs_site.py", "test_helm.py", "test_notebook_tour.py", "test_packaging.py"),
)
"""What takes long by its nature: `make test-all` runs it, `make test` does not."""
ROUNDS: Final = ("faults", "fuzz", "property")
"""What `make test` plays in a short round, and `make test-all` in a longer one."""


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark whole files and folders before `-m` picks by mark, and begin with the longest test.

    The hook is given the tests of the whole run, and last of all hooks puts them in order: beside
    the longest all others run.
    """
    for item in items:
        for mark in _marks(item.path):
            item.add_marker(mark)
    yield
    items.sort(key=lambda item: "tests/conformance/" not in item.nodeid)


@cache
def _marks(path: Path) -> tuple[str, ...]:
    named = (("long", LONG), ("rounds", ROUNDS))
    return tuple(
        mark for mark, names in named if any(path.is_relative_to(HERE / name) for name in names)
    )


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every plug-in that has an extra answer as if that were not installed."""

    def need(module: str) -> ModuleType | None:
        return None if module in REQUIRED else extras.need(module)

    monkeypatch.setattr(validate, "need", need)
