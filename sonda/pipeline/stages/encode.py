"""Stage 4: an order to the bytes that will travel."""

from __future__ import annotations

from returns.result import Failure, Result, Success

from sonda.pipeline.model import EncodedEvent, Payload, ValidatedEvent
from sonda.pipeline.problems import Invalid, Problem, ValidationIssue


def encode(order: ValidatedEvent) -> Result[EncodedEvent, Problem]:
    """Render the event; fails with `Invalid` if the format or the sink's framing cannot carry it."""
    encoder = order.encoder.plugin
    rendered: Result[bytes, Problem] = encoder.encode(order.event, order.encoder.options)
    return rendered.bind(lambda body: _frame(order, body))


def _frame(order: ValidatedEvent, body: bytes) -> Result[EncodedEvent, Problem]:
    encoder = order.encoder.plugin
    payload = Payload(order.event, order.encoder.name, encoder.content_type, body, encoder.packing)
    if order.sink.plugin.ends_with_lf(order.sink.options) and body.find(b"\n", 0, -1) >= 0:
        reason = (
            f"a line feed ends an event here, and this {order.encoder.name} event holds one inside; "
            "a tcp sink with framing octet_counting can carry it"
        )
        return Failure(Invalid((ValidationIssue("sink", reason),)))
    return Success(EncodedEvent(order, payload))
