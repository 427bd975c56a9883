"""The plug-ins that need no extra, loaded ahead of the first event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sonda.pipeline import encoders, sinks
from sonda.pipeline.schemas.registry import PLUGINS, Kind, fast_validator


def load_built_in() -> None:
    """Load every plug-in that needs no extra, so that a server's first event waits for no import."""
    from sonda.pipeline.schemas.validators import validator  # a script's one event seldom needs it

    fast_validator()
    validator()
    packages: Mapping[Kind, Any] = {"encoder": encoders, "sink": sinks}
    for kind, package in packages.items():
        for name in (name for name, schema in PLUGINS[kind].items() if "x-extra" not in schema):
            fast_validator(kind, name)
            validator(kind, name)
            package.load(name)
