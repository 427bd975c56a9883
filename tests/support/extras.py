"""Which plug-ins can be used here: not each is built yet, and not each extra is installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from sonda.pipeline.schemas.registry import PLUGINS, Kind

PLUGIN_NAMES = [(kind, name) for kind, schemas in PLUGINS.items() for name in schemas]
REQUIRED = {
    module for kind, name in PLUGIN_NAMES for module in PLUGINS[kind][name].get("x-requires", ())
}
"""What the extras install."""


def is_usable(kind: Kind, name: str) -> bool:
    """Say whether a plug-in has its module, and all that this requires; a built-in always has."""
    required = PLUGINS[kind][name].get("x-requires", ())
    return not required or all(map(_is_there, (f"sonda.pipeline.{kind}s.{name}", *required)))


def needs(kind: Kind, name: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test where a plug-in cannot be used."""
    return pytest.mark.skipif(not is_usable(kind, name), reason=f"{name}: no extra")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


UNUSABLE = sorted({name for kind, name in PLUGIN_NAMES if not is_usable(kind, name)})
