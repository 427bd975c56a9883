"""Kafka: the record at the offset that the acknowledgement named, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonda.pipeline.values.timestamps import NS_PER_MS
from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused, Verdict

if TYPE_CHECKING:
    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import EncodedEvent, Receipt
    from sonda.pipeline.net import Network
    from sonda.pipeline.verify import Look


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a broker keeps it."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes | None]] = field(default=(), repr=False)


def judge(found: StoredRecord | QueryRefused | None, sent: StoredRecord) -> Verdict:
    """Return what the record at the offset, if there is one, proves of the one that was *sent*.

    A topic may keep its own time of arrival (`message.timestamp.type=LogAppendTime`): then another
    time is found than was sent, and the event is not called verified.
    """
    if isinstance(found, QueryRefused):
        return found
    if found is None:
        return NOT_SEEN
    if found == sent:
        return SEEN
    if found.value != sent.value:
        return Different(_text(sent.value), _text(found.value), "offset")
    if found.timestamp_ms != sent.timestamp_ms:
        theirs = f"timestamp {found.timestamp_ms} ms"
        return Different(f"timestamp {sent.timestamp_ms} ms", theirs, "offset")
    other = "another key or other headers"
    return Different("the key and headers that were sent", other, "offset")


def _text(value: bytes | None) -> str:
    return "no value" if value is None else value.decode(errors="replace")


def look_for(event: EncodedEvent, receipt: Receipt, network: Network, deadline: Deadline) -> Look:  # noqa: ARG001  # the cluster has time-outs of its own
    """Return what fetches the record at the offset of the acknowledgement."""
    from sonda.pipeline.sinks.kafka.fetch import fetch_record  # aiokafka is an extra

    options = event.validated.sink.options
    sent = StoredRecord(
        None if options.key is None else options.key.encode(),
        event.payload.body,
        event.validated.event.time_ns // NS_PER_MS,
        tuple((name, value.encode()) for name, value in options.headers.items()),
    )

    async def look() -> Verdict:
        if receipt.place is None or receipt.place.offset is None:
            return QueryRefused("the broker named no offset", is_final=True)
        found = await fetch_record(options, receipt.place, network)
        return judge(found, sent)

    return look
