"""Messages of logs: one module each, its file name is its wire name.

Messages are a pure function of the tick and of its stamp. They have a plain form, `at`, and a
vector form, `over`, that are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeAlias

from sonda.pipeline.encoders import LogValue, LogValues
from sonda.pipeline.scenarios.draw import Draw
from sonda.pipeline.scenarios.generators import Parameters

DrawFor: TypeAlias = Callable[[str], Draw]
"""Returns the stream of a purpose: "severity", "pool:NAME"."""


Message: TypeAlias = LogValue
"""What a log says at one tick."""


class Messages(Protocol):
    """What a log generator says at any tick; *time_ns* is the event's stamp."""

    def at(self, tick: int, time_ns: int) -> Message: ...

    def over(self, ticks: range, times_ns: Sequence[int]) -> LogValues: ...


@dataclass(frozen=True, slots=True)
class LogGenerator:
    """A log generator. *check* yields where its parameters are wrong, and why."""

    build: Callable[[Parameters, DrawFor], Messages]
    check: Callable[[Parameters], Iterator[tuple[tuple[str | int, ...], str]]]


def load(name: str) -> LogGenerator:
    """Import the log generator *name*."""
    found: LogGenerator = import_module(f"{__name__}.{name}").LOG_GENERATOR
    return found
