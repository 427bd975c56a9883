"""The `otlp` encoder: what its requests say, decoded by OpenTelemetry's classes."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from sonda.about import version
from sonda.pipeline.encoders import otlp
from sonda.pipeline.encoders.otlp import Otlp
from sonda.pipeline.model import Event, Log
from tests.support.events import EVENTS


class Decoded(SingleFileSnapshotExtension):
    """One file per event: the request as protobuf's JSON."""

    file_extension = "json"
    _write_mode = WriteMode.TEXT


def encoded(event: Event) -> bytes:
    return otlp.encode(event, Otlp()).unwrap()


def decoded(event: Event, body: bytes) -> str:
    """Read a request with the official classes; the version of the day is no part of a snapshot."""
    kind: type[Message] = ExportMetricsServiceRequest
    if isinstance(event, Log):
        kind = ExportLogsServiceRequest
    text = MessageToJson(kind.FromString(body), ensure_ascii=False)
    return text.replace(f'"version": "{version()}"', '"version": "X.Y.Z"') + "\n"


@pytest.mark.parametrize("event", EVENTS, ids=[f"otlp-{name}" for name in EVENTS])
def test_decoded(event: str, snapshot: SnapshotAssertion) -> None:
    """What this says was reviewed by a person; the bytes may change with protobuf's versions."""
    text = decoded(EVENTS[event], encoded(EVENTS[event]))
    assert text == snapshot(extension_class=Decoded)
