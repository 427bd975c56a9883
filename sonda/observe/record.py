"""What became of an event, and of what kind it is, in the names that log and metrics share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from returns.result import Result, Success

from sonda.pipeline.model import Receipt
from sonda.pipeline.problems import (
    DestinationBusy,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from sonda.pipeline.schemas.registry import PLUGINS

UNKNOWN: Final = "unknown"  # of a body that does not name what there is
SIGNALS: Final = ("logs", "metrics", UNKNOWN)
ENCODERS: Final = (*PLUGINS["encoder"], UNKNOWN)
SINKS: Final = (*PLUGINS["sink"], UNKNOWN)
DELIVERED: Final = "delivered"
OUTCOMES: Final = {200: DELIVERED, 502: "rejected", 504: "unknown"}
"""As metrics and the log call them: there, what was never sent is rejected, too."""
INVALID: Final = "invalid"
EVENT_STATUSES: Final = frozenset({*OUTCOMES, 400, 403, 422})
"""Of an event's answer; a request that is none is turned away with the last three, too."""


def became(outcome: Result[Receipt, Problem]) -> str | None:
    """Return what became of an event, as metrics call it; `None` if it was not taken on."""
    if isinstance(outcome, Success):
        return DELIVERED
    match outcome.failure():
        case OutcomeUnknown():
            return OUTCOMES[504]
        case Unreachable() | Refused():
            return OUTCOMES[502]
        case DestinationBusy():
            return None
        case _:
            return INVALID


def names_of(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the signal type, encoder and sink of a body: names of the schemas, or `unknown`."""
    return (
        _known(document.get("signal_type"), SIGNALS),
        _known(_type(document.get("encoder")), ENCODERS),
        _known(_type(document.get("sink")), SINKS),
    )


def _type(options: object) -> object:
    return options.get("type") if isinstance(options, dict) else None


def _known(name: object, names: Sequence[str]) -> str:
    return name if isinstance(name, str) and name in names else UNKNOWN
