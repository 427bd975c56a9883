"""Optional dependencies: asked for when they are first used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def need(module: str) -> ModuleType | None:
    """Import *module*; `None` if it is not installed, while a broken one raises."""
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        missing = exc.name or ""
        if missing == module or module.startswith(f"{missing}."):
            return None
        raise  # installed, but something that it needs is not: a bug, not the user's choice
