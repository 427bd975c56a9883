"""One point in InfluxDB's line protocol.

Spec: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from returns.result import Failure, Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.encoders._numbers import decimal
from sonda.pipeline.model import Metric
from sonda.pipeline.problems import Invalid, Problem, ValidationIssue
from sonda.pipeline.text.escape import at, quote

# A backslash before anything else stands for itself, so it is no special character of its own.
_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxLp:
    """*field_key* names the one field; *precision* fixes its value's decimals."""

    field_key: str = "value"
    precision: int | None = None


def encode(sample: Metric, options: InfluxLp) -> Result[bytes, Problem]:
    """Render one point, LF-terminated, time in nanoseconds.

    Fails with `Invalid` for what the protocol has no escape for. The names of the metric and of
    its labels are plain and stand as they are; a tag cannot be empty, so an empty one is left out.
    """
    if flaws := tuple(_flaws(sample, options)):
        return Failure(Invalid(flaws))
    tags = "".join(
        f",{name}={value.translate(_ESCAPES)}"
        for name, value in sorted(sample.labels.items())
        if value
    )
    field = f"{options.field_key.translate(_ESCAPES)}={decimal(sample.value, options.precision)}"
    return Success(f"{sample.name}{tags} {field} {sample.time_ns}\n".encode())


def _flaws(sample: Metric, options: InfluxLp) -> Iterator[ValidationIssue]:
    for name, value in sorted(sample.labels.items()):
        if name == "time":
            yield ValidationIssue(
                at("labels", name), '"time" is the timestamp in line protocol, not a tag'
            )
        yield from _unescapable(at("labels", name), value)
    yield from _unescapable(at("encoder", "field_key"), options.field_key)


def _unescapable(path: str, text: str) -> Iterator[ValidationIssue]:
    if "\n" in text:
        yield ValidationIssue(
            path, f"{quote(text)} contains a newline, which line protocol cannot carry here"
        )
    if text.endswith("\\"):
        yield ValidationIssue(
            path, f"{quote(text)} ends in a backslash, which would escape what follows it"
        )


ENCODER: Final = Encoder(InfluxLp, "text/plain; charset=utf-8", encode)
