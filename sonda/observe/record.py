"""What there is to say of an event once it is answered: for the log's line and for the metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from returns.result import Result, Success

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import Receipt, ValidatedEvent
from sonda.pipeline.problems import (
    DestinationBusy,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.escape import escape, shown
from sonda.pipeline.values.memoize import memoize

UNKNOWN: Final = "unknown"  # of a body that does not name what there is
SIGNALS: Final = ("logs", "metrics", UNKNOWN)
ENCODERS: Final = (*PLUGINS["encoder"], UNKNOWN)
SINKS: Final = (*PLUGINS["sink"], UNKNOWN)
OUTCOMES: Final = {200: "delivered", 502: "rejected", 504: "unknown"}
INVALID: Final = "invalid"
REFUSALS: Final = (400, 403, 422)  # of an event's body; a request is turned away with these, too
_URL: Final = re.compile(r"[A-Za-z]+://[^/?#]*")


class AccessRecord(NamedTuple):
    """One event, in the order in which its line in the log tells it."""

    signal_type: str
    encoder: str
    sink: str
    outcome: str
    latency_ms: int
    tries: int
    target: str
    warnings: Sequence[str]
    key: str = ""
    """The name of the caller's key, if it has one."""


def became(outcome: Result[Receipt, Problem]) -> str | None:
    """Return what became of an event, as metrics call it; `None` if it was not taken on."""
    if isinstance(outcome, Success):
        return OUTCOMES[200]
    match outcome.failure():
        case OutcomeUnknown():
            return OUTCOMES[504]
        case Unreachable() | Refused():
            return OUTCOMES[502]
        case DestinationBusy():
            return None
        case _:
            return INVALID


def is_event(status: int, delivery: Delivery | None) -> bool:
    """Return whether what was answered with *status* is an event, and no request that is none."""
    return delivery is not None and (status in OUTCOMES or status in REFUSALS)


def outcome_of(status: int) -> str:
    """Return what became of an event that was answered with *status*."""
    return OUTCOMES.get(status, INVALID)


def account(status: int, delivery: Delivery) -> AccessRecord:
    """Return the record of an event; nothing of it is a secret, or free to break out of a line of text."""
    order, outcome = delivery.order, delivery.outcome
    if isinstance(outcome, Success):
        receipt = outcome.unwrap()
        latency_ms, warnings = receipt.latency_us // 1000, receipt.warnings
    else:
        spent_ns = delivery.ended_ns - delivery.prepared_ns if delivery.encoded_ns else 0
        latency_ms = max(0, spent_ns) // 1_000_000
        warnings = order.warnings if order is not None else ()
    target = _target_of(order) if order is not None else ""
    signal_type, encoder, sink = names_of(delivery)
    made = (signal_type, encoder, sink, outcome_of(status), latency_ms, delivery.tries, target)
    return AccessRecord(*made, warnings, delivery.key_name)


def names_of(delivery: Delivery) -> tuple[str, str, str]:
    """Return an event's signal type, encoder and sink: names of the schemas, or `unknown`."""
    order = delivery.order
    if order is not None:
        signal = order.event.signal_type
        return signal, order.encoder.name, order.sink.name
    document = delivery.document
    return (
        _known(document.get("signal_type"), SIGNALS),
        _known(_type(document.get("encoder")), ENCODERS),
        _known(_type(document.get("sink")), SINKS),
    )


def _type(options: object) -> object:
    return options.get("type") if isinstance(options, dict) else None


def _known(name: object, names: Sequence[str]) -> str:
    return name if isinstance(name, str) and name in names else UNKNOWN


def _target_of(order: ValidatedEvent) -> str:
    """Return where an event goes; of a named destination's file the name of the destination."""
    named = order.destination
    if named is not None and hasattr(order.sink.options, "path"):
        return escape(named.name)
    return target_of(order.sink.identity)


@memoize
def target_of(identity: str) -> str:
    """Name a destination by as much of it as never holds a secret: of a URL, up to its host."""
    options: Mapping[str, Any] = json.loads(identity)
    for field in ("url", "endpoint"):
        if field in options:
            begins = _URL.match(shown(options[field]))
            return begins[0] if begins else ""
    for field in ("address", "brokers", "path"):
        if field in options:
            return shown(options[field])
    return str(options["type"])
