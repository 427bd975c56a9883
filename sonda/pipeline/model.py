"""The values that the stages hand on: events, payloads, receipts. Frozen, no I/O.

What is made anew for each event is a `Struct`: made in a tenth of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, force_setattr

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.text.cards import Shown, Tone, card
from sonda.pipeline.text.compact_json import compact
from sonda.pipeline.values.timestamps import rfc3339

if TYPE_CHECKING:
    from returns.result import Result

    from sonda.pipeline.problems import Problem

Severity: TypeAlias = Literal["trace", "debug", "info", "warn", "error", "fatal"]
Signal: TypeAlias = Literal["logs", "metrics"]

_WRITER: Final = msgspec.json.Encoder()
UNTIMED: Final = -1
"""The `time_ns` of an event whose time is not known yet: Sonda sends no instant before 1970."""

_PYTHON_LEVELS: Final[Mapping[str, Severity]] = {
    "DEBUG": "debug",
    "INFO": "info",
    "WARNING": "warn",
    "WARN": "warn",
    "ERROR": "error",
    "CRITICAL": "fatal",
    "FATAL": "fatal",
}  # the names of `logging`


def check_aware(timestamp: object) -> None:
    """Raise `ValueError` for a `datetime` without a time zone: its instant depends on the machine."""
    if isinstance(timestamp, datetime) and timestamp.tzinfo is None:
        raise ValueError(
            "timestamp: a datetime needs a time zone (for example datetime.now(datetime.UTC))"
        )


class Log(Struct, frozen=True, kw_only=True):
    """One log event, in the library and inside the pipeline alike.

    *encoder* and *sink* are of `sonda.encoders` and `sonda.sinks`; only `sonda.encode` can do
    without a sink. *timestamp* is the event's own time as its author writes it: RFC 3339, or an
    aware `datetime`. *time_ns* is that instant in nanoseconds since the epoch, or `UNTIMED` until
    the pipeline has read or chosen it.
    Python's own level names (`WARNING`, `CRITICAL`) are read as the severities they stand for.
    Raises `ValueError` for a `datetime` without a time zone.
    """

    signal_type: ClassVar[Literal["logs"]] = "logs"
    message: str
    severity: Severity = "info"
    labels: Mapping[str, str] = {}
    fields: Mapping[str, str] = {}
    timestamp: str | datetime | None = None
    encoder: Any = None
    sink: Any = None
    time_ns: int = UNTIMED

    def __post_init__(self) -> None:
        severity: object = self.severity
        if isinstance(severity, str) and severity in _PYTHON_LEVELS:
            force_setattr(self, "severity", _PYTHON_LEVELS[severity])
        if self.timestamp is not None:
            check_aware(self.timestamp)


class Metric(Struct, frozen=True, kw_only=True):
    """One sample of the series that *name* and *labels* identify; the value is finite. See `Log`."""

    signal_type: ClassVar[Literal["metrics"]] = "metrics"
    name: str
    value: float
    labels: Mapping[str, str] = {}
    timestamp: str | datetime | None = None
    encoder: Any = None
    sink: Any = None
    time_ns: int = UNTIMED

    def __post_init__(self) -> None:
        if self.timestamp is not None:
            check_aware(self.timestamp)


Event: TypeAlias = Log | Metric | Histogram | Summary


class PluginRef(Struct, frozen=True):
    """The encoder or the sink that a body names: its plug-in, and the options as its own class.

    *identity* is the options as JSON, integral numbers as integers, secrets and all. Options of
    one identity come as one object, so that a sink finds what it keeps for them; names in another
    order make another, but the same *key*, unless the sink's headers are ordered, as Kafka's are.
    """

    name: str
    plugin: Any
    options: Any
    identity: str
    target: str = ""  # where a sink leads to, as the client wrote it and fit to be shown
    destination: str = ""  # equal for all options that lead there
    receiver: str = ""  # whose events keep their order
    key: tuple[str, bytes] = ("", b"")  # the value of the options
    timeout_s: float = inf

    def __repr__(self) -> str:
        return f"PluginRef({self.name!r}, {self.options!r}, target={self.target!r})"


class Verify(Struct, frozen=True):
    """Whether and for how long to read an event back; *url* replaces the base of the sink's own."""

    timeout: str = "5s"
    url: str | None = None


class NamedDestination(Struct, frozen=True):
    """A destination of the operator's configuration; an event's own labels win over *labels*.

    *hidden* has the texts that no caller sees, and what is shown in their place.
    """

    encoder: PluginRef
    sink: PluginRef
    labels: Mapping[str, str] = {}
    verify_url: str | None = None
    name: str = ""
    hidden: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"NamedDestination({self.name!r})"


class ValidatedEvent(Struct, frozen=True):
    """A body that has been validated: the event, how to render it, and where to deliver it.

    *destination* is the operator's destination that the body asked for by its name, if it did.
    """

    event: Event
    encoder: PluginRef
    sink: PluginRef
    warnings: tuple[str, ...] = ()
    verify: Verify | None = None
    destination: NamedDestination | None = None


class ContentEncoding(Struct, frozen=True):
    """How a format travels over HTTP: further headers that it needs, and the body that is posted.

    *pack* is pure. It comes last, after joining: two packed bodies are no packed body.
    """

    headers: Mapping[str, str]
    pack: Callable[[bytes], bytes]


IDENTITY_ENCODING: Final = ContentEncoding({}, bytes)


class Payload(Struct, frozen=True):
    """An encoded event, or *count* of them: the bytes, what they are, and the event, or the first."""

    event: Event
    encoder: str
    content_type: str
    body: bytes
    packing: ContentEncoding = IDENTITY_ENCODING
    count: int = 1
    times_ns: Sequence[int] = ()  # of many events, for a sink that has to know them


class EncodedEvent(Struct, frozen=True):
    """A payload, and the validated event that it belongs to."""

    validated: ValidatedEvent
    payload: Payload


class Route(Struct, frozen=True):
    """The way that events of one kind take: how each is rendered, and where it is delivered."""

    encoder: PluginRef
    sink: PluginRef

    @classmethod
    def of(cls, validated: ValidatedEvent) -> Route:
        """Return the route of an event that has been validated."""
        return cls(validated.encoder, validated.sink)


class Confirmed(StrEnum):
    """How much a destination's yes proves; as text it is "handed off", "accepted" or "stored"."""

    HANDED_OFF = "handed off"
    """The operating system or the network took it; nobody further has answered."""
    ACCEPTED = "accepted"
    """The destination itself said yes."""
    STORED = "stored"
    """The destination said that it is on durable storage."""
    QUERYABLE = "queryable"
    """The event itself was read back from the destination."""


@dataclass(frozen=True, slots=True)
class RecordMetadata:
    """Where a log such as Kafka's has put an event; as text it is `events-0@42`."""

    topic: str
    partition: int
    offset: int | None
    """`None` if the destination had it already and has forgotten where."""

    def __str__(self) -> str:
        offset = "" if self.offset is None else f"@{self.offset}"
        return f"{self.topic}-{self.partition}{offset}"


class Ack(Struct, frozen=True, eq=False):
    """A destination's yes: what it proves, after how many tries, and its own status and place for it.

    Not every destination has these two.
    """

    confirmed: Confirmed
    tries: int = 1
    status: int | None = None
    place: RecordMetadata | None = None
    warnings: tuple[str, ...] = ()
    offset: int | None = None
    """At which byte of its file the event begins; no part of what a yes is compared by."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ack) and self._proof() == other._proof()

    def __hash__(self) -> int:
        return hash(self._proof())

    def _proof(self) -> tuple[object, ...]:
        return self.confirmed, self.tries, self.status, self.place, self.warnings


Pending: TypeAlias = "Callable[[], Awaitable[Result[Ack, Problem]]]"
"""What a sink's push gives back: call and await it for the destination's verdict."""


class Receipt(Shown, Struct, frozen=True, eq=False):
    """Proof of delivery. *latency_us* runs from the start of encoding to the acknowledgement."""

    signal_type: Signal
    confirmed: Confirmed
    time_ns: int
    tries: int
    latency_us: int
    status: int | None = None
    place: RecordMetadata | None = None
    warnings: tuple[str, ...] = ()
    verified: bool | None = None
    """Whether the event was read back; `None` where nobody asked for that."""
    visible_us: int | None = None
    """The time from the acknowledgement until the event was seen."""
    offset: int | None = None
    """At which byte of its file the event begins; no part of what receipts are compared by."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipt) and astuple(self)[:-1] == astuple(other)[:-1]

    def __hash__(self) -> int:
        return hash(astuple(self)[:-1])

    def answer(self, *, with_receipt: bool = False) -> bytes:
        """Return the server's answer, a line of JSON; *with_receipt* it has all facts."""
        latency_ms = self.latency_us // 1000
        if self.verified is None and not with_receipt and not self.warnings:
            known = (self.signal_type.encode(), latency_ms)
            return b'{"sent":true,"signal_type":"%b","latency_ms":%d}\n' % known
        document: dict[str, object] = {
            "sent": True,
            "signal_type": self.signal_type,
            "latency_ms": latency_ms,
        }
        if self.verified is not None:
            document["verified"] = self.verified
        if self.visible_us is not None:
            document["visible_ms"] = self.visible_us // 1000
        if with_receipt:
            document["receipt"] = self._facts()
        if self.warnings:
            document["warnings"] = self.warnings
        try:
            return _WRITER.encode(document) + b"\n"
        except UnicodeEncodeError:
            return compact(document) + b"\n"

    def _facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "confirmed": self.confirmed.replace(" ", "_"),
            "timestamp": rfc3339(self.time_ns),
            "tries": self.tries,
            "latency_us": self.latency_us,
        }
        if self.status is not None:
            facts["status"] = self.status
        if (place := self.place) is not None:
            offset = {} if place.offset is None else {"offset": place.offset}
            facts["place"] = {"topic": place.topic, "partition": place.partition, **offset}
        return facts

    def __str__(self) -> str:
        tries = "1 try" if self.tries == 1 else f"{self.tries} tries"
        at = f" at {self.place}" if self.place else ""
        return f"{self.confirmed}{at} after {tries} in {self.latency_us / 1000:.1f} ms"

    def _repr_html_(self) -> str:
        facts = {
            "event": f"{self.signal_type}, {rfc3339(self.time_ns)}",
            "status": "" if self.status is None else str(self.status),
            "place": str(self.place or ""),
        }
        rows = [(name, [value]) for name, value in facts.items() if value]
        warnings = [("warning", [warning]) for warning in self.warnings]
        return card(Tone.GOOD, str(self).capitalize(), [*rows, *warnings])
