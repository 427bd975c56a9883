"""Bodies of one request that differ in their event alone: the first is validated, the others read fast.

All that `prepare` looks at beside the event is named by a body's bytes: its encoder and sink, or its
destination. Where a body with the same bytes there has been taken, only the event is left to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from returns.result import Result, Success

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.long_bodies import LONG_BYTES
from sonda.pipeline.model import EncodedEvent, Log, Metric, Payload, Severity, ValidatedEvent
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import parse_rfc3339

_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?")

_Key: TypeAlias = tuple[str, bytes, bytes, str | None, bool]


class _LogPart(Struct, forbid_unknown_fields=True, gc=False):
    severity: str
    message: str
    fields: dict[str, str] | UnsetType = UNSET


class _MetricPart(Struct, forbid_unknown_fields=True, gc=False):
    name: str
    value: Raw


class _Body(Struct, forbid_unknown_fields=True, gc=False):
    """What a body has that asks for nothing unusual; the parts that it shares stay as they are."""

    signal_type: str
    labels: dict[str, str]
    log: _LogPart | UnsetType = UNSET
    metric: _MetricPart | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    encoder: Raw | UnsetType = UNSET
    sink: Raw | UnsetType = UNSET
    destination: str | UnsetType = UNSET

    def key(self) -> _Key:
        """Return what decides of all but the event; advisories ask whether a label has a value."""
        encoder = b"" if self.encoder is UNSET else bytes(self.encoder)
        sink = b"" if self.sink is UNSET else bytes(self.sink)
        named = None if self.destination is UNSET else self.destination
        return self.signal_type, encoder, sink, named, any(self.labels.values())


_READER: Final = msgspec.json.Decoder(_Body)
_WRITER: Final = msgspec.json.Encoder()


class _Kind(Struct):
    """A body that was taken, and the names that have been found valid in others like it."""

    validated: ValidatedEvent
    shared_labels: Mapping[str, str]
    ends_with_lf: bool
    labels: set[str]
    metrics: set[str]
    severities: dict[str, Severity]

    def encode(self, event: Log | Metric) -> EncodedEvent | None:
        """Return what the stage `encode` would make of an event like this one; `None` is no verdict."""
        known = self.validated
        encoder, sink = known.encoder, known.sink
        plugin = encoder.plugin
        rendered: Result[bytes, Problem] = plugin.encode(event, encoder.options)
        if not isinstance(rendered, Success):
            return None
        text: bytes = rendered.unwrap()
        if self.ends_with_lf and text.find(b"\n", 0, -1) >= 0:
            return None
        return EncodedEvent(
            ValidatedEvent(event, encoder, sink, known.warnings, None, known.destination),
            Payload(event, encoder.name, plugin.content_type, text, plugin.packing),
        )


class AlikeBodies:
    """The kinds of bodies that one request of one caller has brought so far."""

    def __init__(self) -> None:
        self._kinds: dict[_Key, _Kind] = {}
        self._has_blanks = False

    def prepare(
        self, raw: bytes, delivery: Delivery, received_ns: int
    ) -> Result[EncodedEvent, Problem] | None:
        """Return what `Pipeline.prepare` would; `None` is no verdict, and *delivery* is untouched."""
        body = self._read(raw)
        kind = None if body is None else self._kinds.get(body.key())
        if body is None or kind is None or not body.labels.keys() <= kind.labels:
            return None
        event = _event(body, kind, received_ns)
        if event is None:
            return None
        prepared_ns = perf_counter_ns()
        encoded = kind.encode(event)
        if encoded is None:
            return None
        delivery.prepared_ns, delivery.encoded_ns = prepared_ns, perf_counter_ns()
        delivery.validated, delivery.time_ns = encoded.validated, event.time_ns
        if body.timestamp is not UNSET:
            delivery.given_ns = event.time_ns
        return Success(encoded)

    def learn(self, raw: bytes, prepared: Result[EncodedEvent, Problem]) -> None:
        """Take note of a body that `Pipeline.prepare` has taken."""
        if not isinstance(prepared, Success) or len(raw) >= LONG_BYTES:
            return
        validated: ValidatedEvent = prepared.unwrap().validated
        event = validated.event
        body = self._read(raw)
        shared = {} if validated.destination is None else validated.destination.labels
        if body is None or validated.verify is not None or shared.keys() & body.labels.keys():
            return  # a label in the place of a shared one may change what is advised
        kind = self._kinds.get(body.key())
        if kind is None:
            sink = validated.sink
            ends_with_lf = sink.plugin.ends_with_lf(sink.options)
            kind = _Kind(validated, shared, ends_with_lf, set(), set(), {})
            self._kinds[body.key()] = kind
        kind.labels.update(body.labels)
        if isinstance(event, Metric):
            kind.metrics.add(event.name)
        elif isinstance(event, Log) and body.log is not UNSET:
            kind.severities[body.log.severity] = event.severity

    def _read(self, raw: bytes) -> _Body | None:
        """Return a body of which nothing is lost, or `None`.

        msgspec keeps the last of two equal names. But no text of JSON without blanks is shorter than
        what msgspec writes for it, numbers aside, which stay as they are: equal lengths are equal
        members, in any order.
        """
        if len(raw) >= LONG_BYTES:
            return None
        try:
            compact = msgspec.json.format(raw, indent=-1) if self._has_blanks else raw
            body = _READER.decode(compact)
            if len(_WRITER.encode(body)) == len(compact):
                return body
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        if self._has_blanks:
            return None
        self._has_blanks = True
        return self._read(raw)


def _event(body: _Body, kind: _Kind, received_ns: int) -> Log | Metric | None:
    """Return the event of a body, or `None` where a value calls for a closer look."""
    time_ns = received_ns
    if body.timestamp is not UNSET:
        try:
            time_ns = parse_rfc3339(body.timestamp)
        except ValueError:
            return None
    labels = {**kind.shared_labels, **body.labels} if kind.shared_labels else body.labels
    log, metric = body.log, body.metric
    if log is not UNSET and metric is UNSET and body.signal_type == "logs":
        severity = kind.severities.get(log.severity)
        if severity is None:
            return None
        fields = {} if log.fields is UNSET else log.fields
        return Log(
            message=log.message, severity=severity, labels=labels, fields=fields, time_ns=time_ns
        )
    if metric is not UNSET and log is UNSET and metric.name in kind.metrics:
        written = bytes(metric.value)
        if _NUMBER.fullmatch(written):
            return Metric(name=metric.name, value=float(written), labels=labels, time_ns=time_ns)
    return None
