"""The `remote_write` encoder, by a reader that shares no code with it."""

from __future__ import annotations

from typing import Final

import pytest

from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.encoders import encode_series
from sonda.pipeline.encoders.remote_write import ENCODER, RemoteWrite
from tests.support.events import DEPLOYED_NS, SAMPLES, sample
from tests.support.wire import Series, unsnap, write_request

DEPLOYED_MS: Final = 1_774_277_944_840


def encoded(event: str) -> bytes:
    return ENCODER.encode(SAMPLES[event], RemoteWrite()).unwrap()


@pytest.mark.parametrize("event", SAMPLES)
def test_an_independent_reader_finds_the_event(event: str) -> None:
    """Every byte has its place for a reader that shares no code with the writer."""
    about = SAMPLES[event]
    labels = {name: text for name, text in about.labels.items() if text}
    expected = Series(
        sorted([("__name__", about.name), *labels.items()]),
        [(about.value, about.time_ns // 1_000_000)],
    )
    # repr: it tells -0.0 from 0.0
    assert repr(write_request(encoded(event))) == repr([expected])
    assert unsnap(ENCODER.packing.pack(encoded(event))) == encoded(event)


def test_labels_are_sorted_by_their_bytes() -> None:
    """The metric's name stands among the labels: after upper case, before lower case."""
    labels = dict.fromkeys(("a", "_", "__a", "Z", "__name", "__name__x", "a0", "aA"), "x")
    [series] = write_request(ENCODER.encode(sample(labels=labels), RemoteWrite()).unwrap())
    names = [name for name, _ in series.labels]
    assert names == ["Z", "_", "__a", "__name", "__name__", "__name__x", "a", "a0", "aA"]
    assert names == sorted(names, key=str.encode)


def test_no_label_is_sent_empty() -> None:
    """A label with an empty value is one that is not there."""
    body = ENCODER.encode(sample(labels={"a": "", "b": "1", "c": ""}), RemoteWrite())
    assert write_request(body.unwrap()) == [
        Series([("__name__", "deploy_events_total"), ("b", "1")], [(1.0, DEPLOYED_MS)])
    ]


def test_times_are_floored() -> None:
    """A sample is never of a millisecond that had not begun."""
    assert DEPLOYED_NS == DEPLOYED_MS * 1_000_000 + 999_999
    assert write_request(encoded("deploy_events_total"))[0].samples == [(1.0, DEPLOYED_MS)]


def test_joined_requests_are_one_request() -> None:
    """The bytes of two events, one after the other, are a request with the series of both."""
    first, second = encoded("deploy_events_total"), encoded("metric_negative")
    assert write_request(first + second) == write_request(first) + write_request(second)
    assert len(v1.WriteRequest.FromString(first + second).timeseries) == 2


def test_how_it_travels_over_http() -> None:
    """The content type and the headers are version 1.0's."""
    assert ENCODER.content_type == "application/x-protobuf"
    assert ENCODER.packing.headers == {
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }


@pytest.mark.parametrize("size", [0, 1, 60, 61, 256, 257, 65_536, 70_000, 1_000_000])
@pytest.mark.parametrize("pattern", [b"x", b"abcdefgh", bytes(range(256)) * 9])
def test_packing_is_snappys_block_format(size: int, pattern: bytes) -> None:
    """Bodies short and long, dull and varied, are the same once unpacked by the format's rules."""
    body = (pattern * (size // len(pattern) + 1))[:size]
    assert unsnap(ENCODER.packing.pack(body)) == body


@pytest.mark.parametrize("times_ns", [[0, 1_000_000], [1, 2], [127_000_000, 128_000_000]])
def test_a_series_whose_times_differ_in_length(times_ns: list[int]) -> None:
    """A time of 0, which is not sent, and one that is a byte longer than its neighbour."""
    series = sample(labels={"a": ""})
    body = encode_series(ENCODER, series, [0.0, -0.0], times_ns, RemoteWrite()).unwrap().body
    (found,) = write_request(body)
    stamps = [time_ns // 1_000_000 for time_ns in times_ns]
    # repr: it tells -0.0 from 0.0
    assert repr(found.samples) == repr(list(zip([0.0, -0.0], stamps, strict=True)))
    assert found.labels == [("__name__", series.name)]
