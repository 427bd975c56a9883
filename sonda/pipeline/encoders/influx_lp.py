"""One point in InfluxDB's line protocol.

Spec: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from returns.result import Failure, Result, Success

from sonda.pipeline.encoders import Encoder, Joined, joined
from sonda.pipeline.encoders._escaping import escape_all
from sonda.pipeline.encoders._numbers import decimal, decimals
from sonda.pipeline.model import Metric
from sonda.pipeline.problems import Problem, ValidationIssue, first_issues
from sonda.pipeline.text.escape import at, quote

# A backslash before anything else stands for itself, so it is no special character of its own.
_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxLp:
    """*field_key* names the one field; *precision* fixes its value's decimals."""

    field_key: str = "value"
    precision: int | None = None


def encode(metric: Metric, options: InfluxLp) -> Result[bytes, Problem]:
    """Render one point, LF-terminated, time in nanoseconds.

    Fails with `Invalid` for what the protocol has no escape for. The names of the metric and of
    its labels are plain and stand as they are; a tag cannot be empty, so an empty one is left out.
    """
    if found := list(_unescapable(metric, options)):
        return Failure(first_issues(found, _issue))
    value = decimal(metric.value, options.precision)
    return Success(f"{_series(metric, options)}{value} {metric.time_ns}\n".encode())


def encode_many(
    series: Metric, values: Sequence[float], times_ns: Sequence[int], options: InfluxLp
) -> Result[Joined, Problem]:
    """Render a point for each value and time of a series; fails as `encode` does."""
    if found := list(_unescapable(series, options)):
        return Failure(first_issues(found, _issue))
    begin, numbers = _series(series, options), decimals(values, options.precision)
    points = [
        f"{begin}{number} {time_ns}\n" for number, time_ns in zip(numbers, times_ns, strict=True)
    ]
    return Success(joined("".join(points).encode()))


def _series(metric: Metric, options: InfluxLp) -> str:
    """Return a point up to its value: name, tags and the field's key."""
    names = sorted(name for name, value in metric.labels.items() if value)
    values = escape_all(map(metric.labels.__getitem__, names), _ESCAPES)
    tags = "".join([f",{name}={value}" for name, value in zip(names, values, strict=True)])
    return f"{metric.name}{tags} {options.field_key.translate(_ESCAPES)}="


_TIME: Final = "is the timestamp in line protocol, not a tag"
_NEWLINE: Final = "contains a newline, which line protocol cannot carry here"
_BACKSLASH: Final = "ends in a backslash, which would escape what follows it"


def _unescapable(metric: Metric, options: InfluxLp) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Yield the path, the text and the fault of all that cannot be written."""
    together = "".join(metric.labels.values())
    is_suspect = "time" in metric.labels or "\n" in together or "\\" in together
    for name, value in sorted(metric.labels.items()) if is_suspect else ():
        if name == "time":
            yield ("labels", name), name, _TIME
        if "\n" in value:
            yield ("labels", name), value, _NEWLINE
        if value.endswith("\\"):
            yield ("labels", name), value, _BACKSLASH
    if "\n" in options.field_key:
        yield ("encoder", "field_key"), options.field_key, _NEWLINE
    if options.field_key.endswith("\\"):
        yield ("encoder", "field_key"), options.field_key, _BACKSLASH


def _issue(found: tuple[tuple[str, str], str, str]) -> ValidationIssue:
    path, text, fault = found
    return ValidationIssue(at(*path), f"{quote(text)} {fault}")


ENCODER: Final = Encoder(
    InfluxLp, "text/plain; charset=utf-8", encode, encode_many=encode_many, lines=True
)
