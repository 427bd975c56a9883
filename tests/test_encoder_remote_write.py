"""The `remote_write` encoder: what its messages say, and that readers of any kind read the same."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from google.protobuf import text_format
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension

import sonda
from sonda import encoders
from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.encoders.remote_write import ENCODER, RemoteWrite
from tests.support.events import DEPLOYED_NS, SAMPLES, sample
from tests.support.wire import Series, unsnap, write_request
from tools import make_protobuf

DEPLOYED_MS: Final = 1_774_277_944_840


class TextFile(SingleFileSnapshotExtension):
    """One text file per event: protobuf's own text form of the message."""

    file_extension = "txtpb"


def encoded(event: str) -> bytes:
    return ENCODER.encode(SAMPLES[event], RemoteWrite()).unwrap()


@pytest.mark.parametrize("event", SAMPLES)
def test_remote_write_messages(event: str, snapshot: SnapshotAssertion) -> None:
    """What these messages say was reviewed by a person."""
    message = v1.WriteRequest.FromString(encoded(event))
    text = text_format.MessageToString(message, as_utf8=True)
    assert text.encode() == snapshot(extension_class=TextFile)


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


def test_the_library_gives_the_message_itself() -> None:
    """The encoder's bytes are not packed: that is for HTTP alone, and Kafka's value is these bytes."""
    metric = sonda.Metric(
        name="up", value=1, timestamp="2026-03-23T15:29:02.5Z", encoder=encoders.RemoteWrite()
    )
    body = sonda.encode(metric).unwrap()
    assert write_request(body) == [Series([("__name__", "up")], [(1.0, 1_774_279_742_500)])]


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


def test_making_the_messages_anew_changes_nothing(tmp_path: Path) -> None:
    """The modules that are checked in are those of the `.proto` files."""
    made = make_protobuf.make(tmp_path)
    checked_in = {
        path.relative_to(make_protobuf.CHECKOUT)
        for path in make_protobuf.CHECKOUT.glob("sonda/**/*_pb2.*")
    }
    assert made
    assert set(made) == checked_in - {path for path in checked_in if path.suffix == ".pyc"}
    for path in made:
        assert (tmp_path / path).read_text() == (make_protobuf.CHECKOUT / path).read_text(), path
