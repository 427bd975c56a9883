"""Where a sink's options lead to: as it is shown, and as what two events have in common."""

from __future__ import annotations

import json
from typing import Any, Final

from sonda.pipeline.model import PluginRef
from sonda.pipeline.text.escape import shown
from sonda.pipeline.values.addresses import address_of, parse_http_url
from sonda.pipeline.values.memoize import memoize

_URLS: Final = ("url", "endpoint")
_NAMES: Final = (*_URLS, "address", "brokers", "path")


def target_of(sink: PluginRef) -> str:
    """Name the target as the client wrote it, fit to be shown."""
    named = (getattr(sink.options, option, None) for option in _NAMES)
    return shown(next((text for text in named if text is not None), sink.name))


def destination_of(sink: PluginRef) -> str:
    """Name what a sink delivers to, alike for all options that lead to the same place."""
    return _destination(sink.identity)


@memoize
def _destination(identity: str) -> str:
    options: dict[str, Any] = json.loads(identity)
    for option in _URLS:
        if option in options:
            return str(address_of(parse_http_url(options[option]))).lower()
    return next((str(options[option]) for option in _NAMES if option in options), options["type"])
