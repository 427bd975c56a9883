"""The heads of columns that hold a metric, as PromQL, Grafana and OpenTelemetry write them.

A character that no name of Prometheus may have becomes `_`, as where Prometheus takes in OpenTelemetry:
`service.name` is `service_name`.
Spec: https://prometheus.io/docs/concepts/data_model/ and
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TEXT: Final = r'"((?:[^"\\]|\\.)*)"'
_HEADER: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:.]*)?\s*(?:\{(.*)\})?\s*", re.DOTALL)
_ITEM: Final = re.compile(
    rf"\s*(?:([a-zA-Z_][a-zA-Z0-9_.\-/]*)|{_TEXT})\s*(?:=\s*{_TEXT}\s*)?(?:,|$)", re.DOTALL
)
_ESCAPES: Final = {"n": "\n"}
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")
_NOT_IN_METRICS: Final = re.compile(r"[^a-zA-Z0-9_:]")
_NO_NAMES: Final = {"", "Value", "value"}  # Grafana's field of a series without a name


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a column says of a metric: its name, its labels."""

    name: str | None
    labels: dict[str, str]


def read_header(text: str) -> Header | None:
    """Read `up`, `up{job="x"}`, `{__name__="up", job="x"}` or `{"up", "a.job"="x"}`.

    `None` if it is none of these, has a label twice, or names two metrics. Grafana writes
    `up {__name__="up"}` and `Value {__name__="up"}` where a panel has renamed nothing: that is one.
    """
    match = _HEADER.fullmatch(text)
    if match is None:
        return None
    name, inside = match.groups()
    labels: dict[str, str] = {}
    place, inside = 0, (inside or "").strip()
    while place < len(inside):
        item = _ITEM.match(inside, place)
        if item is None:
            return None
        bare, quoted, value = item.groups()
        key = bare or _unescaped(quoted or "")
        if value is None:  # the metric's name among the labels, quoted
            if bare or name is not None:
                return None
            name = key
        else:
            key = _allowed(key, _NOT_IN_NAMES)
            if not key or key in labels:
                return None
            labels[key] = _unescaped(value)
        place = item.end()
    names = {_allowed(one or "", _NOT_IN_METRICS) for one in (name, labels.pop("__name__", None))}
    names -= _NO_NAMES
    return None if len(names) > 1 else Header(names.pop() if names else None, labels)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), text, flags=re.DOTALL)


def _allowed(name: str, others: re.Pattern[str]) -> str:
    """Return a name with `_` for each of the *others*, and one before a digit that leads it."""
    return re.sub(r"^(?=\d)", "_", others.sub("_", name))
