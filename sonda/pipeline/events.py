"""Events as a program writes them, turned into the body of `POST /events`."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.json_values import find_unwritable
from sonda.pipeline.model import UNTIMED, Log, Metric, check_aware
from sonda.pipeline.plugins.fit import default_encoder
from sonda.pipeline.problems import (
    MAX_ISSUES,
    Invalid,
    Malformed,
    NotJson,
    Problem,
    ValidationIssue,
)
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.values.timestamps import rfc3339

AnyEvent: TypeAlias = Log | Metric | Mapping[str, Any]
_MINUTE: Final = timedelta(minutes=1)


class _NaiveDatetimeError(Exception):
    """A `datetime` without a time zone stands somewhere in an event."""


def to_json(event: AnyEvent) -> Result[bytes, Problem]:
    """Return the HTTP body that an event stands for.

    Fails with `Invalid` for a `datetime` without a time zone, with `Malformed` for a value that JSON
    cannot express, and with `NotJson` for a mapping without an end.
    """
    try:
        return _written(event)
    except _NaiveDatetimeError as exc:
        path, _, reason = str(exc).partition(": ")
        return Failure(Invalid((ValidationIssue(path, reason),)))


def _written(event: AnyEvent) -> Result[bytes, Problem]:
    try:
        text = json.dumps(event, default=_plain, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        issues = tuple(islice(find_unwritable(event, _plain), MAX_ISSUES))
        return Failure(Malformed(issues) if issues else NotJson(str(exc)))
    return Success(text.encode())


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
            return options_document(value)
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def _shared(event: Log | Metric) -> dict[str, object]:
    timestamp: object = event.timestamp
    if timestamp is None and event.time_ns != UNTIMED:
        timestamp = rfc3339(event.time_ns)
    encoder = event.encoder
    if encoder is None and event.sink is not None:
        encoder = _default_encoder(event.sink)
    optional = {"timestamp": timestamp, "encoder": encoder, "sink": event.sink}
    given = {name: value for name, value in optional.items() if value is not None}
    return {"labels": event.labels, **given}


def _default_encoder(sink: Any) -> dict[str, str] | None:
    """Return the encoder that the command line would choose for a sink, where its type is known."""
    written = sink if isinstance(sink, Mapping) else options_document(sink)
    name = str(written.get("type"))
    return default_encoder(name) if name in PLUGINS["sink"] else None


def options_document(options: Any) -> dict[str, object]:
    """Return a plug-in's options as JSON, tagged with its wire name, which is its module's."""
    module = type(options).__module__
    kind, _, name = module.rpartition(".")
    tag = {"type": name} if kind.endswith((".encoders", ".sinks")) else {}
    given = {one.name: getattr(options, one.name) for one in fields(options)}
    return {**tag, **{name: value for name, value in given.items() if value is not None}}


def _rfc3339(instant: datetime) -> str:
    try:
        check_aware(instant)
    except ValueError as exc:
        raise _NaiveDatetimeError(str(exc)) from None
    offset = instant.utcoffset()
    if offset is not None and offset % _MINUTE:  # as places had before time zones
        with suppress(OverflowError):
            instant = instant.astimezone(UTC)
    return instant.isoformat()
