"""Wire names and class names: `http_push` is `HttpPush`."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from sonda.pipeline.plugins.extras import need


def options_class(package: str, name: str) -> Any:
    """Find the options class *name* in the module of *package* that has its wire name."""
    wire_name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    try:
        module = need(f"{package}.{wire_name}") if name[:1].isupper() else None
    except ModuleNotFoundError as exc:
        exc.add_note("An extra may be missing: pip install 'sonda-events[all]' installs them all.")
        raise
    if module is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}{_known(package, name)}")
    return getattr(module, name)


def _known(package: str, name: str) -> str:
    """Return the names that there are, for somebody who meant one of them."""
    if name.startswith("_"):
        return ""
    found = sorted(one.name for one in iter_modules(import_module(package).__path__))
    plugins = (wire for wire in found if wire != "options" and not wire.startswith("_"))
    classes = ("".join(map(str.capitalize, wire.split("_"))) for wire in plugins)
    return f"; there are {', '.join(classes)}"
