"""Stage 4: a validated event to the bytes that will travel."""

from __future__ import annotations

from returns.result import Failure, Result, Success

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.encoders import encode_aggregate
from sonda.pipeline.model import EncodedEvent, Payload, ValidatedEvent
from sonda.pipeline.problems import Invalid, Problem, ValidationIssue


def encode(validated: ValidatedEvent) -> Result[EncodedEvent, Problem]:
    """Render the event; fails with `Invalid` if the format or the sink's framing cannot carry it."""
    name, encoder = validated.encoder.name, validated.encoder.plugin
    if isinstance(validated.event, (Histogram, Summary)):
        return _encode_aggregate(validated, validated.event)
    rendered: Result[bytes, Problem] = encoder.encode(validated.event, validated.encoder.options)
    if not isinstance(rendered, Success):
        return Failure(rendered.failure())
    body = rendered.unwrap()
    has_lf_inside = body.find(b"\n", 0, -1) >= 0
    if has_lf_inside and validated.sink.plugin.ends_with_lf(validated.sink.options):
        reason = (
            f"a line feed ends an event here, and this {name} event holds one inside; "
            "a tcp sink with framing octet_counting can carry it"
        )
        return Failure(Invalid((ValidationIssue("sink", reason),)))
    payload = Payload(validated.event, name, encoder.content_type, body, encoder.packing)
    return Success(EncodedEvent(validated, payload))


def _encode_aggregate(
    validated: ValidatedEvent, event: Histogram | Summary
) -> Result[EncodedEvent, Problem]:
    """Render an event of many samples; where each is a line, a line feed inside ends no event."""
    encoder = validated.encoder
    rendered = encode_aggregate(encoder.plugin, event, encoder.options)
    return rendered.map(
        lambda body: EncodedEvent(
            validated,
            Payload(event, encoder.name, encoder.plugin.content_type, body, encoder.plugin.packing),
        )
    )
