"""Wire formats: one module each, its file name is its wire name.

`sonda.encoders.JsonLines` and its like are the options of `json_lines` and its like, found by
name, so that a new module needs no entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sonda.pipeline.model import IDENTITY_ENCODING, ContentEncoding
from sonda.pipeline.plugins.option_classes import options_class

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


@dataclass(frozen=True, slots=True)
class Encoder(Generic[E, O]):
    """One wire format: its options, its content type, and the pure function that renders it.

    *packing* is for HTTP alone; any other sink sends the bytes as they are. *decode* reads bytes that
    are no text, those of an event, back into JSON values for people.
    """

    options: type[O]
    content_type: str
    encode: Callable[[E, O], Result[bytes, Problem]]
    packing: ContentEncoding = IDENTITY_ENCODING
    decode: Callable[[E, bytes], Mapping[str, Any]] | None = None


def load(name: str) -> Encoder[Any, Any]:
    """Import the encoder *name*, whose extra must be installed."""
    found: Encoder[Any, Any] = import_module(f"{__name__}.{name}").ENCODER
    return found


def __getattr__(name: str) -> Any:
    return options_class(__name__, name)
