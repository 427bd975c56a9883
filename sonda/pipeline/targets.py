"""Where a sink's options lead to: as it is shown, and as what two events have in common."""

from __future__ import annotations

import json
from typing import Any

from sonda.pipeline.model import PluginRef
from sonda.pipeline.plugins.lookup import facts_of
from sonda.pipeline.text.escape import shown
from sonda.pipeline.values.addresses import address_of, parse_http_url
from sonda.pipeline.values.memoize import memoize


def target_of(sink: PluginRef) -> str:
    """Return the target as the client wrote it, fit to be shown; of a sink without one its name."""
    option = _target_option(sink.name)
    return shown(sink.name if option is None else getattr(sink.options, option))


def destination_of(sink: PluginRef) -> str:
    """Return a name of what a sink delivers to, equal for all options that lead to the same place."""
    return _destination(sink.identity)


@memoize
def _destination(identity: str) -> str:
    options: dict[str, Any] = json.loads(identity)
    option = _target_option(options["type"])
    if option is None:
        return str(options["type"])
    target = str(options[option])
    if not target.lower().startswith("http"):  # httpx costs 0.1 s to import
        return target
    try:
        return str(address_of(parse_http_url(target))).lower()
    except ValueError:  # an address, brokers or a path
        return target


def _target_option(sink: str) -> str | None:
    """Return the option that says where a sink's events go."""
    option: str | None = (facts_of("sink", sink) or {}).get("x-target")
    return option
