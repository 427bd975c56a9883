"""What holds of the `otlp` encoder for every event: a reader of our own gets all of it back."""

from __future__ import annotations

import struct

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from sonda.pipeline.encoders import otlp
from sonda.pipeline.encoders.otlp import Otlp
from sonda.pipeline.model import Event, Log, Metric
from tests.property.strategies import records, samples, unhurried
from tests.support.wire_otlp import exported_logs, exported_points


def encoded(event: Event) -> bytes:
    """Every event can be encoded."""
    result = otlp.encode(event, Otlp())
    assert isinstance(result, Success)
    body = result.unwrap()
    assert isinstance(body, bytes)
    return body


@unhurried
@given(st.lists(records(), min_size=1, max_size=3))
def test_logs_read_back(events: list[Log]) -> None:
    """Joined requests give every record again, in order, keys sorted and unique."""
    found = exported_logs(b"".join(map(encoded, events)))
    assert [(log.body, log.severity[1].lower(), log.time_ns) for log in found] == [
        (event.message, event.severity, event.time_ns) for event in events
    ]
    for log, event in zip(found, events, strict=True):
        assert log.attributes == sorted({**event.labels, **event.fields}.items())
        assert [pair for pair in log.resource if pair[0] != "service.name"] == sorted(
            event.labels.items()
        )
        assert log.observed_ns == event.time_ns


@unhurried
@given(st.lists(samples(), min_size=1, max_size=3))
def test_metrics_read_back(events: list[Metric]) -> None:
    """Joined requests give every sample again, to the last bit of its value."""
    found = exported_points(b"".join(map(encoded, events)))
    assert [(point.name, point.value, point.time_ns, point.attributes) for point in found] == [
        (event.name, struct.pack("<d", event.value), event.time_ns, sorted(event.labels.items()))
        for event in events
    ]


@unhurried
@given(records() | samples())
def test_equal_events_are_equal_bytes(event: Event) -> None:
    """However labels and fields are ordered, the bytes are the same."""
    labels = dict(reversed(list(event.labels.items())))
    match event:
        case Log():
            fields = dict(reversed(list(event.fields.items())))
            same: Event = msgspec.structs.replace(event, labels=labels, fields=fields)
        case Metric():
            same = msgspec.structs.replace(event, labels=labels)
    assert encoded(same) == encoded(event)
