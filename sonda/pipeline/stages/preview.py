"""In place of push and flush: say what would be sent. Nothing is opened."""

from __future__ import annotations

from returns.result import Result

from sonda.pipeline.model import EncodedEvent
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem
from sonda.pipeline.wire_preview import Preview, WirePreview


def preview(encoded: EncodedEvent, *, network: Network) -> Result[Preview, Problem]:
    """Describe how the payload would leave; may ask the file system what a path leads to.

    Fails with `Forbidden`, or as the sink does where it need not open anything to tell.
    """
    validated, payload = encoded.validated, encoded.payload
    described: Result[WirePreview, Problem] = validated.sink.plugin.describe(
        payload, validated.sink.options, network
    )
    decode = validated.encoder.plugin.decode
    return described.map(
        lambda departure: Preview(
            signal_type=validated.event.signal_type,
            encoder=validated.encoder.name,
            sink=validated.sink.name,
            time_ns=validated.event.time_ns,
            departure=departure,
            decoded=None if decode is None else decode(validated.event, payload.body),
            warnings=validated.warnings,
        )
    )
