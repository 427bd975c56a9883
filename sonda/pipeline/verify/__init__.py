"""Reading an event back after its acknowledgement; spec: docs/delivery.md, "queryable".

One module per sink that can be asked, found by the sink's name. Each has an `ASK`: a pure function
that returns the question to put to the destination, and another one that judges the answer. Only
`read_back` waits and asks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from sonda.pipeline.verify.judging import Verdict as Verdict

VERIFIABLE: Final = ("file", "kafka", "loki", "remote_write")
"""The sinks whose destination can be asked for an event, in the order in which problems list them."""

BY_QUERY: Final = ("loki", "remote_write")
"""Those that are asked over HTTP, so that `verify.url` can replace the base."""


def load(sink: str) -> Any:
    """Import and return the module that verifies events of *sink*, one of `VERIFIABLE`."""
    return import_module(f"{__name__}.{sink}")
