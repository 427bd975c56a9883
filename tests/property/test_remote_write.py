"""What holds for every sample in remote write: total, pure, and read back by readers of our own."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.encoders.remote_write import ENCODER, RemoteWrite, encode
from sonda.pipeline.model import Metric
from tests.property.strategies import samples, unhurried
from tests.support.wire import Series, unsnap, write_request


def _as_series(sample: Metric) -> Series:
    labels = {**sample.labels, "__name__": sample.name}
    return Series(
        sorted((name, text) for name, text in labels.items() if text),
        [(sample.value, sample.time_ns // 1_000_000)],
    )


@unhurried
@given(st.lists(samples(), min_size=1, max_size=3))
def test_joined_requests_read_back(events: list[Metric]) -> None:
    """Joined and packed, the requests give every name, label, value and time again."""
    body = b"".join(encode(event, RemoteWrite()).unwrap() for event in events)
    read = write_request(unsnap(ENCODER.packing.pack(body)))
    # repr: it tells -0.0 from 0.0
    assert repr(read) == repr([_as_series(event) for event in events])


@unhurried
@given(samples())
def test_labels_are_as_the_specification_wants_them(event: Metric) -> None:
    """Sorted by their bytes, each name once, none of them empty, the metric's name among them."""
    [series] = write_request(encode(event, RemoteWrite()).unwrap())
    names = [name.encode() for name, _ in series.labels]
    assert names == sorted(set(names))
    assert all(name and text for name, text in series.labels)
    assert dict(series.labels)["__name__"] == event.name


@unhurried
@given(samples())
def test_encode_is_deterministic(event: Metric) -> None:
    """Equal samples give equal bytes, however their labels are ordered."""
    shuffled = dict(reversed(list(event.labels.items())))
    other = msgspec.structs.replace(event, labels=shuffled)
    assert encode(event, RemoteWrite()) == encode(other, RemoteWrite())


@given(st.binary(max_size=3000) | st.text("ab", max_size=3000).map(str.encode))
def test_packing_is_lossless(body: bytes) -> None:
    """Any bytes come out of the block format as they went in."""
    assert unsnap(ENCODER.packing.pack(body)) == body
