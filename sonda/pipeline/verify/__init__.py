"""Reading an event back after its acknowledgement.

One module per sink that can be asked, found by the sink's name (`x-verify` in its schema). Each has
`look_for(event, receipt, network, deadline)`, which returns what asks the destination once. Questions
and verdicts are pure functions; `read_back` waits and repeats.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from sonda.pipeline.verify.judging import QueryRefused, Verdict
from sonda.pipeline.verify.query import QueryTooLongError

if TYPE_CHECKING:
    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import EncodedEvent, Receipt
    from sonda.pipeline.net import Network

Look: TypeAlias = Callable[[], Awaitable[Verdict]]
"""Asks the destination once, and returns what its answer proves."""


def look_for(event: EncodedEvent, receipt: Receipt, network: Network, deadline: Deadline) -> Look:
    """Return what asks the destination of an acknowledged event for that event."""
    module: Any = import_module(f"{__name__}.{event.validated.sink.name}")
    try:
        look: Look = module.look_for(event, receipt, network, deadline)
    except QueryTooLongError as exc:
        refused = QueryRefused(str(exc), is_final=True)

        async def look() -> Verdict:
            return refused

    return look
