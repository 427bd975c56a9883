"""The `otlp` encoder: what its requests say, read by hand, and that they merge."""

from __future__ import annotations

import struct
from typing import Final

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sonda.about import version
from sonda.pipeline.encoders import LogValue, LogValues, encode_series, otlp
from sonda.pipeline.encoders.otlp import Otlp
from sonda.pipeline.model import Event
from tests.support.events import DEPLOYED_NS, EVENTS, record, sample
from tests.support.wire_otlp import ExportedLog, ExportedPoint, exported_logs, exported_points

SCOPE: Final = [("name", "sonda"), ("version", version())]


def encoded(event: Event) -> bytes:
    return otlp.encode(event, Otlp()).unwrap()


def test_a_log_by_hand() -> None:
    """A log is one record: labels on it and on its resource, fields on it alone."""
    event = record(fields={"version": "1.2.2", "env": "a field wins"})
    assert exported_logs(encoded(event)) == [
        ExportedLog(
            resource=[("env", "prod"), ("event", "deploy_start"), ("service.name", "sonda")],
            scope=SCOPE,
            attributes=[("env", "a field wins"), ("event", "deploy_start"), ("version", "1.2.2")],
            time_ns=DEPLOYED_NS,
            observed_ns=DEPLOYED_NS,
            severity=(9, "INFO"),
            body="Deploy started",
        )
    ]


def test_a_metric_by_hand() -> None:
    """A metric is one data point of a gauge, its value a double."""
    assert exported_points(encoded(sample(-0.0))) == [
        ExportedPoint(
            resource=[("event", "deploy_start"), ("job", "sonda"), ("service.name", "sonda")],
            scope=SCOPE,
            attributes=[("event", "deploy_start"), ("job", "sonda")],
            time_ns=DEPLOYED_NS,
            name="deploy_events_total",
            value=struct.pack("<d", -0.0),
        )
    ]


def test_severities() -> None:
    """Each severity has OpenTelemetry's number and its own name in capitals."""
    found = [exported_logs(encoded(EVENTS[f"log_{name}"]))[0].severity for name in NUMBERS]
    assert found == [(number, name.upper()) for name, number in NUMBERS.items()]


NUMBERS: Final = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"service_name": "shop", "service": "s", "job": "j"}, "shop"),
        ({"job": "j", "service": "s"}, "s"),
        ({"job": "j", "app": "a"}, "j"),
        ({"service_name": "", "service": "", "job": "j"}, "j"),
        ({"service_name": "", "app": "a"}, "sonda"),
        ({}, "sonda"),
    ],
)
def test_the_service_has_a_name(labels: dict[str, str], service: str) -> None:
    """The first of three labels that is not empty names the service, else we do; none is left out."""
    (found,) = exported_logs(encoded(record(labels=labels)))
    assert found.resource == sorted([*labels.items(), ("service.name", service)])


def test_keys_are_unique() -> None:
    """A field may have the name of a label, or of what a resource has; each key stands once."""
    labels = {"env": "prod", "job": "j"}
    fields = {"env": "", "job": "other", "service.name": "a field", "": "no name"}
    (found,) = exported_logs(encoded(record(labels=labels, fields=fields)))
    assert found.resource == [*sorted(labels.items()), ("service.name", "j")]
    assert found.attributes == sorted(fields.items())


def test_requests_merge() -> None:
    """Requests one after the other are one request with all of their records."""
    logs = [record("one"), record("two", labels={"job": "b"}), record("three")]
    assert exported_logs(b"".join(map(encoded, logs))) == [
        found for event in logs for found in exported_logs(encoded(event))
    ]
    merged = ExportLogsServiceRequest.FromString(b"".join(map(encoded, logs)))
    bodies = [
        item.body.string_value
        for resource in merged.resource_logs
        for scope in resource.scope_logs
        for item in scope.log_records
    ]
    assert bodies == ["one", "two", "three"]


def test_content_type() -> None:
    """OTLP over HTTP is told by its content type."""
    assert otlp.ENCODER.content_type == "application/x-protobuf"


def test_many_logs_of_a_series_are_one_request() -> None:
    """They share resource and scope; their records are what each would have alone."""
    first, second = record("one", severity="warn"), record("", fields={"a": "b"}, time_ns=0)
    values = LogValues.of(
        LogValue(one.severity, one.message, one.fields) for one in (first, second)
    )
    times_ns = [first.time_ns, second.time_ns]
    many = encode_series(otlp.ENCODER, first, values, times_ns, Otlp()).unwrap()
    assert exported_logs(many.body) == [
        *exported_logs(encoded(first)),
        *exported_logs(encoded(second)),
    ]
    assert len(ExportLogsServiceRequest.FromString(many.body).resource_logs) == 1
    assert many.size_bytes == len(encoded(first)) + len(encoded(second))


def test_long_and_empty_names_are_written_as_protobuf_has_them() -> None:
    """Lengths beyond one byte, texts beyond ASCII and an empty name are read back by its classes."""
    fields = {"": "no name", "é" * 70: "€" * 70, "a" * 200: "", "b": "x" * 20_000}
    log = record(labels={}, fields=fields)
    request = ExportLogsServiceRequest.FromString(encoded(log))
    (found,) = request.resource_logs[0].scope_logs[0].log_records
    assert {pair.key: pair.value.string_value for pair in found.attributes} == fields
    assert request.SerializeToString() == encoded(log)
