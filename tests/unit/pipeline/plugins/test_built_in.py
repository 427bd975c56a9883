"""A server loads what needs no extra before its first event."""

from __future__ import annotations

import pytest

from sonda.pipeline import encoders, sinks
from sonda.pipeline.plugins.built_in import load_built_in
from sonda.pipeline.schemas.registry import PLUGINS, Kind


def test_each_plug_in_without_an_extra_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none that needs one."""
    loaded: dict[Kind, list[str]] = {"encoder": [], "sink": []}
    monkeypatch.setattr(encoders, "load", loaded["encoder"].append)
    monkeypatch.setattr(sinks, "load", loaded["sink"].append)
    load_built_in()
    for kind, names in loaded.items():
        assert names == [name for name, facts in PLUGINS[kind].items() if "x-extra" not in facts]
        assert names
