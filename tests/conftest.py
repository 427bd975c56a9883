"""Fixtures that every test may use."""

from __future__ import annotations

from types import ModuleType

import pytest

from sonda.pipeline import extras
from sonda.pipeline.schemas import PLUGINS
from sonda.pipeline.stages import validate


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every plug-in that has an extra answer as if that were not installed."""
    optional = {
        module
        for schemas in PLUGINS.values()
        for schema in schemas.values()
        for module in schema.get("x-requires", ())
    }

    def need(module: str) -> ModuleType | None:
        return None if module in optional else extras.need(module)

    monkeypatch.setattr(validate, "need", need)
