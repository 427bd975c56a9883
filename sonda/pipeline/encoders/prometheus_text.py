"""One sample in Prometheus' text exposition format.

Spec: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder, Joined, joined
from sonda.pipeline.encoders._escaping import escape_all
from sonda.pipeline.encoders._numbers import decimal, decimals
from sonda.pipeline.encoders._series import by_series
from sonda.pipeline.model import Metric
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import NS_PER_MS

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusText:
    """*precision* fixes the value's decimals; a Pushgateway takes no *timestamp*."""

    precision: int | None = None
    timestamp: bool = True


def encode(metric: Metric, options: PrometheusText) -> Result[bytes, Problem]:
    """Render one sample, LF-terminated, time in milliseconds; it never fails."""
    line = f"{_series(metric.name, metric.labels)} {decimal(metric.value, options.precision)}"
    if options.timestamp:
        line += f" {metric.time_ns // NS_PER_MS}"
    return Success(f"{line}\n".encode())


def encode_many(
    series: Metric, values: Sequence[float], times_ns: Sequence[int], options: PrometheusText
) -> Result[Joined, Problem]:
    """Render a line for each value and time of a series; it never fails."""
    name, numbers = _kept_series(series.name, series.labels), decimals(values, options.precision)
    if not options.timestamp:
        lines = [f"{name} {number}\n" for number in numbers]
    else:
        lines = [
            f"{name} {number} {time_ns // NS_PER_MS}\n"
            for number, time_ns in zip(numbers, times_ns, strict=True)
        ]
    return Success(joined("".join(lines).encode()))


def _series(metric: str, labels: Mapping[str, str]) -> str:
    names = sorted(labels)
    values = escape_all(map(labels.__getitem__, names), _ESCAPES)
    pairs = ",".join([f'{name}="{value}"' for name, value in zip(names, values, strict=True)])
    return f"{metric}{{{pairs}}}" if pairs else metric


_kept_series: Final = by_series(_series)


ENCODER: Final = Encoder(
    PrometheusText,
    "text/plain; version=0.0.4; charset=utf-8",
    encode,
    encode_many=encode_many,
    lines=True,
)
