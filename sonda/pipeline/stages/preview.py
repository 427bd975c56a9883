"""In place of push and flush: say what would be sent. Nothing is opened."""

from __future__ import annotations

from returns.result import Result

from sonda.pipeline.model import EncodedEvent, Preview, WirePreview
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem


def preview(parcel: EncodedEvent, *, transport: Network) -> Result[Preview, Problem]:
    """Describe how the payload would leave; may ask the file system what a path leads to.

    Fails with `Forbidden`, or as the sink does where it need not open anything to tell.
    """
    order, payload = parcel.order, parcel.payload
    described: Result[WirePreview, Problem] = order.sink.plugin.describe(
        payload, order.sink.options, transport
    )
    decode = order.encoder.plugin.decode
    return described.map(
        lambda departure: Preview(
            signal_type=order.event.signal_type,
            encoder=order.encoder.name,
            sink=order.sink.name,
            time_ns=order.event.time_ns,
            departure=departure,
            decoded=None if decode is None else decode(order.event, payload.body),
            warnings=order.warnings,
        )
    )
