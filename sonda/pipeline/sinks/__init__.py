"""Destinations: one module each, its file name is its wire name. Only they do I/O.

`sonda.sinks.Loki` and its like are the options of `loki` and its like, found by name, so that a
new module needs no entry here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from msgspec import Struct

from sonda.pipeline.pieces import TakesPieces, no_pieces
from sonda.pipeline.plugins.option_classes import options_class

if TYPE_CHECKING:
    from returns.result import Result

    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import Ack, Payload, Pending
    from sonda.pipeline.net import Network
    from sonda.pipeline.problems import Problem
    from sonda.pipeline.sinks.file import File as File
    from sonda.pipeline.sinks.http_push import HttpPush as HttpPush
    from sonda.pipeline.sinks.kafka import Kafka as Kafka
    from sonda.pipeline.sinks.loki import Loki as Loki
    from sonda.pipeline.sinks.otlp_grpc import OtlpGrpc as OtlpGrpc
    from sonda.pipeline.sinks.otlp_http import OtlpHttp as OtlpHttp
    from sonda.pipeline.sinks.remote_write import RemoteWrite as RemoteWrite
    from sonda.pipeline.sinks.stdout import Stdout as Stdout
    from sonda.pipeline.sinks.tcp import Tcp as Tcp
    from sonda.pipeline.sinks.udp import Udp as Udp
    from sonda.pipeline.wire_preview import WirePreview

O = TypeVar("O")

SendMany: TypeAlias = (
    "Callable[[Sequence[Payload], Any, Network, Deadline], Awaitable[list[Result[Ack, Problem]]]]"
)

LINE: Final = "one line, its line feed included"
"""How an event is framed where a line feed ends it."""


def always(_payloads: Sequence[Payload], _options: object) -> bool:
    """Return true: such a sink can combine any events."""
    return True


def never(_options: object) -> bool:
    """Return false: such a sink's frames do not end with a line feed."""
    return False


class Sink(Struct, Generic[O], frozen=True):
    """One kind of destination.

    *open* makes, without I/O, what all events with the same options have in common: a queue, an
    endpoint. The network keeps it, and *push* and *send_many* are handed it; a sink that has no
    *open* is handed its options. *push* starts a delivery and returns what flush awaits. *describe*
    returns how the event would leave, from the pieces that *push* uses; it may ask the file system
    what a path leads to, and does no other I/O. *ends_with_lf* tells whether a line feed ends a
    frame, so that none may stand inside an event. *send_many* delivers a group in its order, retries
    included, with one verdict for each event. Without it, or where *can_join* is false, events are
    pushed one after the other; with *side_by_side* all at once, for a sink that keeps their order.
    Where *headers_name_tenant*, events with other headers have an order of their own; where
    *headers_are_ordered*, the same headers in another order are other options. *pieces* returns
    how it takes many events as one payload, which *push* and *send_many* deliver as any other.
    """

    options: type[O]
    push: Callable[[Payload, Any, Network, Deadline], Awaitable[Result[Pending, Problem]]]
    describe: Callable[[Payload, O, Network], Result[WirePreview, Problem]]
    ends_with_lf: Callable[[O], bool] = never
    send_many: SendMany | None = None
    can_join: Callable[[Sequence[Payload], O], bool] = always
    side_by_side: bool = False
    pieces: TakesPieces = no_pieces
    headers_name_tenant: bool = False
    headers_are_ordered: bool = False
    open: Callable[[O, Network], Any] | None = None


def load(name: str) -> Sink[Any]:
    """Import the sink *name*, whose extra must be installed."""
    found: Sink[Any] = import_module(f"{__name__}.{name}").SINK
    return found


def __getattr__(name: str) -> Any:
    return options_class(__name__, name)
