"""One JSON object a line, for logs and metrics.

Spec: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import msgspec
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder, Joined, LogValues, joined
from sonda.pipeline.model import Event, Log, Metric
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import rfc3339_ms, rfc3339_ms_of_each


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """*precision* rounds a metric's value to that many decimals; logs have none."""

    precision: int | None = None


class _LogLine(msgspec.Struct, gc=False):
    """The members of a log's line, in the order of the wire."""

    timestamp: str
    severity: str
    message: str
    labels: Mapping[str, str] | msgspec.Raw
    fields: Mapping[str, str]


class _MetricLine(msgspec.Struct, gc=False):
    """The members of a metric's line, in the order of the wire."""

    name: str
    value: msgspec.Raw
    labels: Mapping[str, str]
    timestamp: str


_WRITER: Final = msgspec.json.Encoder(order="deterministic")  # sorts the names in a mapping


def encode(event: Log | Metric, options: JsonLines) -> Result[bytes, Problem]:
    """Render one object, LF-terminated, time in milliseconds; it never fails."""
    timestamp = rfc3339_ms(event.time_ns)
    line: _LogLine | _MetricLine
    if isinstance(event, Log):
        line = _LogLine(timestamp, event.severity, event.message, event.labels, event.fields)
    else:
        written = msgspec.Raw(_number(event.value, options.precision).encode())
        line = _MetricLine(event.name, written, event.labels, timestamp)
    return Success(_WRITER.encode(line) + b"\n")


def _number(value: float, precision: int | None) -> str:
    """Return a value as Python writes it: msgspec's own is `1e21`, not `1e+21`."""
    value = float(value)  # a notebook may hand over an int, the wire says `1.0`
    return repr(value if precision is None else round(value, precision))


def encode_many(
    series: Event,
    values: Sequence[float] | LogValues,
    times_ns: Sequence[int],
    options: JsonLines,
) -> Result[Joined, Problem]:
    """Render a line for each value and time of a series; it never fails."""
    labels, times = _WRITER.encode(series.labels), rfc3339_ms_of_each(times_ns)
    if isinstance(values, LogValues):
        columns = times, values.severities, values.messages, repeat(msgspec.Raw(labels))
        lines = map(_LogLine, *columns, values.fields)
        return Success(joined(_WRITER.encode_lines(list(lines))))
    assert isinstance(series, Metric)  # noqa: S101  # its values are numbers
    numbers = _numbers(values, options.precision)
    begin = f'{{"name":{_WRITER.encode(series.name).decode()},"value":'
    middle = f',"labels":{labels.decode()},"timestamp":"'
    metrics = [
        f'{begin}{number}{middle}{timestamp}"}}\n'
        for number, timestamp in zip(numbers, times, strict=True)
    ]
    return Success(joined("".join(metrics).encode()))


def _numbers(values: Sequence[float], precision: int | None) -> Iterable[str]:
    """Write each of many values as `_number` does."""
    doubles = map(float, values)
    return map(repr, doubles if precision is None else (round(one, precision) for one in doubles))


ENCODER: Final = Encoder(
    JsonLines, "application/x-ndjson", encode, encode_many=encode_many, lines=True
)
