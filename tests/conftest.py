"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, beside which all others run."""
    items.sort(key=lambda item: "tests/conformance/" not in item.nodeid)


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every plug-in that has an extra answer as if that were not installed."""

    def need(module: str) -> ModuleType | None:
        return None if module in REQUIRED else extras.need(module)

    monkeypatch.setattr(validate, "need", need)
