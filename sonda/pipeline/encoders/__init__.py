"""Wire formats: one module each, its file name is its wire name.

`sonda.encoders.JsonLines` and its like are the options of `json_lines` and its like, found by
name, so that a new module needs no entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, overload

from msgspec import Struct
from msgspec.structs import replace
from returns.result import Failure, Success

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.model import IDENTITY_ENCODING, ContentEncoding, Event, Severity
from sonda.pipeline.plugins.option_classes import options_class
from sonda.pipeline.samples import samples

if TYPE_CHECKING:
    from returns.result import Result

    from sonda.pipeline.encoders.influx_lp import InfluxLp as InfluxLp
    from sonda.pipeline.encoders.json_lines import JsonLines as JsonLines
    from sonda.pipeline.encoders.otlp import Otlp as Otlp
    from sonda.pipeline.encoders.prometheus_text import PrometheusText as PrometheusText
    from sonda.pipeline.encoders.remote_write import RemoteWrite as RemoteWrite
    from sonda.pipeline.encoders.syslog import Syslog as Syslog
    from sonda.pipeline.problems import Problem

E = TypeVar("E")
O = TypeVar("O")


class LogValue(NamedTuple):
    """What one log event of many has for itself, beside its time."""

    severity: Severity
    message: str
    fields: Mapping[str, str]


class LogValues(Sequence[LogValue]):
    """Many `LogValue`s by column, so that none of them need be made."""

    __slots__ = ("fields", "messages", "severities")

    def __init__(
        self,
        severities: Sequence[Severity],
        messages: Sequence[str],
        fields: Sequence[Mapping[str, str]],
    ) -> None:
        self.severities = severities
        self.messages = messages
        self.fields = fields

    @classmethod
    def of(cls, values: Iterable[LogValue]) -> Self:
        """Return the columns of values that have been made one by one."""
        rows = list(values)
        return cls([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[LogValue]:
        return map(LogValue, self.severities, self.messages, self.fields)

    @overload
    def __getitem__(self, place: int) -> LogValue: ...

    @overload
    def __getitem__(self, place: slice) -> LogValues: ...

    def __getitem__(self, place: int | slice) -> LogValue | LogValues:
        severities, messages, fields = self.severities, self.messages, self.fields
        if isinstance(place, slice):
            return LogValues(severities[place], messages[place], fields[place])
        return LogValue(severities[place], messages[place], fields[place])


class Joined(NamedTuple):
    """The body of many events, and how many bytes they are when each is encoded alone."""

    body: bytes
    size_bytes: int


def joined(body: bytes) -> Joined:
    """Return a body in which the events' own bytes stand one after the other."""
    return Joined(body, len(body))


class Encoder(Struct, Generic[E, O], frozen=True):
    """One wire format: its options, its content type, and the pure function that renders it.

    *packing* is for HTTP alone; any other sink sends the bytes as they are. *decode* reads bytes that
    are no text, those of an event, back into JSON values for people. *encode_many* renders many
    events of one series as one body, whose names and labels it writes once; see `encode_series`. A
    histogram or a summary is rendered by *encode_aggregate*, or else as its samples, one after the
    other. *lines* is whether each event is one line (a histogram's samples are one each): a line feed
    ends it, and none stands inside.
    """

    options: type[O]
    content_type: str
    encode: Callable[[E, O], Result[bytes, Problem]]
    packing: ContentEncoding = IDENTITY_ENCODING
    decode: Callable[[E, bytes], Mapping[str, Any]] | None = None
    encode_many: Callable[[E, Sequence[Any], Sequence[int], O], Result[Joined, Problem]] | None = (
        None
    )
    lines: bool = False
    encode_aggregate: Callable[[Histogram | Summary, O], Result[bytes, Problem]] | None = None


def encode_series(
    encoder: Encoder[Any, Any],
    series: Event,
    values: Sequence[float] | LogValues,
    times_ns: Sequence[int],
    options: Any,
) -> Result[Joined, Problem]:
    """Return one body of many events that differ from *series* in value and time, in their order.

    That is the bytes that `encode` returns for each, one after the other, or what a receiver reads
    as the same events. A metric's values are its samples. Fails as `encode`
    does, with the problem of the first event that fails.
    """
    if encoder.encode_many is not None:
        return encoder.encode_many(series, values, times_ns, options)
    bodies: list[bytes] = []
    for value, time_ns in zip(values, times_ns, strict=True):
        changes = value._asdict() if isinstance(value, LogValue) else {"value": value}
        body = encoder.encode(replace(series, **changes, time_ns=time_ns), options)
        if not isinstance(body, Success):
            return Failure(body.failure())
        bodies.append(body.unwrap())
    return Success(joined(b"".join(bodies)))


def encode_aggregate(
    encoder: Encoder[Any, Any], event: Histogram | Summary, options: Any
) -> Result[bytes, Problem]:
    """Render a histogram or a summary; fails as `encode` does, for its first sample that fails."""
    if encoder.encode_aggregate is not None:
        return encoder.encode_aggregate(event, options)
    bodies: list[bytes] = []
    for sample in samples(event):
        body = encoder.encode(sample, options)
        if not isinstance(body, Success):
            return Failure(body.failure())
        bodies.append(body.unwrap())
    return Success(b"".join(bodies))


def load(name: str) -> Encoder[Any, Any]:
    """Import the encoder *name*, whose extra must be installed."""
    found: Encoder[Any, Any] = import_module(f"{__name__}.{name}").ENCODER
    return found


def __getattr__(name: str) -> Any:
    return options_class(__name__, name)
