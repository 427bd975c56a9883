"""Events as a notebook writes them: typed, with typed encoders and sinks, or plain mappings."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.model import Severity
from sonda.pipeline.problems import NotJson, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log event to deliver; *encoder* and *sink* are of `sonda.encoders` and `sonda.sinks`.

    *timestamp* is RFC 3339 or an aware `datetime`; without it the event's time is now. Only
    `sonda.encode` can do without a sink.
    """

    message: str
    severity: Severity = "info"
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    timestamp: str | datetime | None = None
    encoder: Any
    sink: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric event to deliver; see `Log`."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    timestamp: str | datetime | None = None
    encoder: Any
    sink: Any = None


AnyEvent: TypeAlias = Log | Metric | Mapping[str, Any]


def to_json(event: AnyEvent) -> Result[bytes, Problem]:
    """Write an event as the HTTP body it stands for; fails with `NotJson` where JSON has no words."""
    try:
        return Success(json.dumps(event, default=_plain, ensure_ascii=True).encode())
    except (TypeError, ValueError, RecursionError) as exc:
        return Failure(NotJson(str(exc)))


def _plain(value: object) -> object:
    match value:
        case Log():
            log = {"severity": value.severity, "message": value.message, "fields": value.fields}
            return {"signal_type": "logs", "log": log, **_shared(value)}
        case Metric():
            metric = {"name": value.name, "value": value.value}
            return {"signal_type": "metrics", "metric": metric, **_shared(value)}
        case Mapping():
            return dict(value)
        case datetime():
            return _rfc3339(value)
        case numbers.Integral():  # numpy's integers, for one
            return int(value)
        case numbers.Real():
            return float(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _options(value)
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def _shared(event: Log | Metric) -> dict[str, object]:
    optional = {"timestamp": event.timestamp, "sink": event.sink}
    given = {name: value for name, value in optional.items() if value is not None}
    return {"labels": event.labels, "encoder": event.encoder, **given}


def _options(options: Any) -> dict[str, object]:
    """Write a plug-in's options, tagged with its wire name, which is its module's."""
    module = type(options).__module__
    kind, _, name = module.rpartition(".")
    tag = {"type": name} if kind.endswith((".encoders", ".sinks")) else {}
    given = {one.name: getattr(options, one.name) for one in fields(options)}
    return {**tag, **{name: value for name, value in given.items() if value is not None}}


def _rfc3339(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("a timestamp needs a time zone")
    return instant.isoformat()
