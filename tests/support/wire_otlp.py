"""A reader of our own for OTLP; the numbers are those of opentelemetry-proto's .proto files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.support import wire

Fields: TypeAlias = list[tuple[int, int | bytes]]
"""A message as it stands on the wire: numbers and values, in order."""
Attributes: TypeAlias = list[tuple[str, str]]


def fields(message: bytes) -> Fields:
    """Read a message of which the numbers alone tell what a field is."""
    return [(number, value) for number, _, value in wire.fields(message)]


@dataclass(frozen=True)
class Exported:
    """One record of a request, with the resource and the scope that it stands under."""

    resource: Attributes
    scope: Attributes
    attributes: Attributes
    time_ns: int


@dataclass(frozen=True)
class ExportedLog(Exported):
    """A log record."""

    observed_ns: int
    severity: tuple[int, str]
    body: str


@dataclass(frozen=True)
class ExportedPoint(Exported):
    """A data point of a gauge; the value as its eight bytes, which tell -0 from 0."""

    name: str
    value: bytes


def exported_logs(body: bytes) -> list[ExportedLog]:
    """Read an ExportLogsServiceRequest."""
    return [
        ExportedLog(
            resource=resource,
            scope=scope,
            attributes=_attributes(record, 6),
            time_ns=_fixed64(record, 1),
            observed_ns=_fixed64(record, 11),
            severity=(_number(record, 2), _text(record, 3)),
            body=_any_value(_bytes(record, 5)),
        )
        for resource, scope, record in _records(body)
    ]


def exported_points(body: bytes) -> list[ExportedPoint]:
    """Read an ExportMetricsServiceRequest of gauges."""
    return [
        ExportedPoint(
            resource=resource,
            scope=scope,
            attributes=_attributes(point, 7),
            time_ns=_fixed64(point, 3),
            name=_text(metric, 1),
            value=_bytes(point, 4),
        )
        for resource, scope, metric in _records(body)
        for point in map(fields, _all(fields(_bytes(metric, 5)), 1))
    ]


_RESOURCE, _SCOPE, _INNER = 1, 1, 2
_EMPTY: Final = b""


def _records(body: bytes) -> Iterator[tuple[Attributes, Attributes, Fields]]:
    """Logs and metrics have the same upper levels."""
    for of_resource in map(fields, _all(fields(body), 1)):
        resource = _attributes(fields(_bytes(of_resource, _RESOURCE)), 1)
        for of_scope in map(fields, _all(of_resource, _INNER)):
            scope = fields(_bytes(of_scope, _SCOPE))
            named = [("name", _text(scope, 1)), ("version", _text(scope, 2))]
            for record in map(fields, _all(of_scope, _INNER)):
                yield resource, named, record


def _all(message: Fields, number: int) -> list[bytes]:
    return [value for found, value in message if found == number and isinstance(value, bytes)]


def _bytes(message: Fields, number: int) -> bytes:
    """Give the last value, as every reader must; the default is empty."""
    return ([_EMPTY, *_all(message, number)])[-1]


def _text(message: Fields, number: int) -> str:
    return _bytes(message, number).decode()


def _number(message: Fields, number: int) -> int:
    return [0, *(v for found, v in message if found == number and isinstance(v, int))][-1]


def _fixed64(message: Fields, number: int) -> int:
    (value,) = struct.unpack("<Q", _bytes(message, number) or bytes(8))
    assert isinstance(value, int)
    return value


def _any_value(message: bytes) -> str:
    """Read an AnyValue, which must be a string, if an empty one."""
    [(number, text)] = fields(message)
    assert number == 1
    assert isinstance(text, bytes)
    return text.decode()


def _attributes(message: Fields, number: int) -> Attributes:
    pairs = map(fields, _all(message, number))
    return [(_text(pair, 1), _any_value(_bytes(pair, 2))) for pair in pairs]
