"""One JSON object a line, for logs and metrics.

Spec: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.model import Event, Record, Sample
from sonda.pipeline.problems import Problem
from sonda.pipeline.timestamps import rfc3339_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """*precision* rounds a metric's value to that many decimals; logs have none."""

    precision: int | None = None


def encode(event: Event, options: JsonLines) -> Result[bytes, Problem]:
    """Render one object, LF-terminated, time in milliseconds; it never fails."""
    return Success(msgspec.json.encode(_members(event, options)) + b"\n")


def _members(event: Event, options: JsonLines) -> dict[str, Any]:
    """List an event's members in the order of the wire."""
    labels = dict(sorted(event.labels.items()))
    timestamp = rfc3339_ms(event.time_ns)
    match event:
        case Record():
            return {
                "timestamp": timestamp,
                "severity": event.severity,
                "message": event.message,
                "labels": labels,
                "fields": dict(sorted(event.fields.items())),
            }
        case Sample():
            value = float(event.value)  # a notebook may hand over an int, the wire says `1.0`
            if options.precision is not None:
                value = round(value, options.precision)
            return {
                "name": event.name,
                "value": msgspec.Raw(repr(value).encode()),  # msgspec's own is `1e21`, not `1e+21`
                "labels": labels,
                "timestamp": timestamp,
            }


ENCODER: Final = Encoder(JsonLines, "application/x-ndjson", encode)
