"""The `remote_write` encoder: what its messages say."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension

import sonda
from sonda import encoders
from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.encoders.remote_write import ENCODER, RemoteWrite
from tests.support.events import SAMPLES
from tests.support.wire import Series, write_request
from tools import make_protobuf


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


def test_the_library_gives_the_message_itself() -> None:
    """The encoder's bytes are not packed: that is for HTTP alone, and Kafka's value is these bytes."""
    metric = sonda.Metric(
        name="up", value=1, timestamp="2026-03-23T15:29:02.5Z", encoder=encoders.RemoteWrite()
    )
    body = sonda.encode(metric).unwrap()
    assert write_request(body) == [Series([("__name__", "up")], [(1.0, 1_774_279_742_500)])]


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
