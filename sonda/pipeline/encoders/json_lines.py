"""One JSON object a line, for logs and metrics.

Spec: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.model import Event, Log, Metric
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import rfc3339_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """*precision* rounds a metric's value to that many decimals; logs have none."""

    precision: int | None = None


class _LogLine(msgspec.Struct):
    """The members of a log's line, in the order of the wire."""

    timestamp: str
    severity: str
    message: str
    labels: Mapping[str, str]
    fields: Mapping[str, str]


class _MetricLine(msgspec.Struct):
    """The members of a metric's line, in the order of the wire."""

    name: str
    value: msgspec.Raw
    labels: Mapping[str, str]
    timestamp: str


_WRITER: Final = msgspec.json.Encoder(order="deterministic")  # sorts the names in a mapping


def encode(event: Event, options: JsonLines) -> Result[bytes, Problem]:
    """Render one object, LF-terminated, time in milliseconds; it never fails."""
    return Success(_WRITER.encode(_line(event, options)) + b"\n")


def _line(event: Event, options: JsonLines) -> _LogLine | _MetricLine:
    timestamp = rfc3339_ms(event.time_ns)
    match event:
        case Log():
            return _LogLine(timestamp, event.severity, event.message, event.labels, event.fields)
        case Metric():
            value = float(event.value)  # a notebook may hand over an int, the wire says `1.0`
            if options.precision is not None:
                value = round(value, options.precision)
            written = msgspec.Raw(repr(value).encode())  # msgspec's own is `1e21`, not `1e+21`
            return _MetricLine(event.name, written, event.labels, timestamp)


ENCODER: Final = Encoder(JsonLines, "application/x-ndjson", encode)
