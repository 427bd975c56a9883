"""Fixtures that every test may use."""

from __future__ import annotations

from types import ModuleType

import pytest

from sonda.pipeline import encoders, extras, sinks
from sonda.pipeline.schemas import PLUGINS


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every plug-in that has an extra answer as if that were not installed."""
    optional = {
        f"sonda.pipeline.{kind}s.{name}"
        for kind, schemas in PLUGINS.items()
        for name, schema in schemas.items()
        if "x-extra" in schema
    }

    def need(module: str) -> ModuleType | None:
        return None if module in optional else extras.need(module)

    monkeypatch.setattr(encoders, "need", need)
    monkeypatch.setattr(sinks, "need", need)
