"""One sample in Prometheus' text exposition format.

Spec: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.encoders._numbers import decimal
from sonda.pipeline.model import Metric
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import NS_PER_MS

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusText:
    """*precision* fixes the value's decimals; a Pushgateway takes no *timestamp*."""

    precision: int | None = None
    timestamp: bool = True


def encode(sample: Metric, options: PrometheusText) -> Result[bytes, Problem]:
    """Render one sample, LF-terminated, time in milliseconds; it never fails."""
    labels = ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(sample.labels.items())
    )
    series = f"{sample.name}{{{labels}}}" if labels else sample.name
    line = f"{series} {decimal(sample.value, options.precision)}"
    if options.timestamp:
        line += f" {sample.time_ns // NS_PER_MS}"
    return Success(f"{line}\n".encode())


ENCODER: Final = Encoder(PrometheusText, "text/plain; version=0.0.4; charset=utf-8", encode)
