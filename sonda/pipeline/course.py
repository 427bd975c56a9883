"""How far one event has come, for whoever counts and logs; a library's user pays nothing for it.

A server sets `DELIVERY_PROGRESS` before it hands an event to the pipeline; the stages write down where they
are, in the event's own task, and nobody else's course is ever in reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any, Final

from returns.result import Result, Success

from sonda.pipeline.model import Receipt, ValidatedEvent
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import parse_rfc3339


class DeliveryProgress:
    """What is known of an event under way; instants are `perf_counter_ns`, 0 before they come.

    *pushes* has, for each push that this event is to be counted with, how many events were in it;
    an event that no line has joined with others (*shared*) is a push of its own with each try.
    *time_ns* is the event's time, *given_ns* the one that its body names. *may_be_stored* is true
    once any of its tries has ended so that the event may have been stored.
    """

    __slots__ = (
        "began_ns",
        "document",
        "encoded_ns",
        "ended_ns",
        "given_ns",
        "id",
        "key_name",
        "may_be_stored",
        "order",
        "outcome",
        "prepared_ns",
        "pushes",
        "shared",
        "time_ns",
        "tries",
        "waited_ns",
    )

    def __init__(self, id: str = "") -> None:  # noqa: A002  # the field's name in the log
        self.id = id
        self.key_name = ""
        self.began_ns = perf_counter_ns()
        self.prepared_ns = self.encoded_ns = self.waited_ns = self.ended_ns = 0
        self.document: Mapping[str, Any] = {}
        self.order: ValidatedEvent | None = None
        self.outcome: Result[Receipt, Problem] | None = None
        self.pushes: list[int] = []
        self.shared = self.may_be_stored = False
        self.time_ns = 0
        self.given_ns: int | None = None
        self.tries = 0

    def prepare(
        self, document: Result[dict[str, Any], Problem], order: Result[ValidatedEvent, Problem]
    ) -> None:
        """Note what validation and the advisories have come to."""
        self.prepared_ns = perf_counter_ns()
        self.order = order.value_or(None)
        read = document.value_or({})
        if (given := read.get("timestamp")) is not None and isinstance(given, str):
            self.given_ns = _time_ns(given)
        if self.order is None:
            self.document = read
        else:
            self.time_ns = self.order.event.time_ns

    def encode(self) -> None:
        """Note that the bytes are there."""
        self.encoded_ns = perf_counter_ns()

    def wait(self, since_ns: int, until_ns: int) -> None:
        """Note a wait in line, which lasts until now where its turn has not come (0)."""
        self.shared = True
        self.waited_ns += max(0, (until_ns or perf_counter_ns()) - since_ns)

    def end(self, outcome: Result[Receipt, Problem]) -> None:
        """Note the outcome; of its tries those, too, that a library below has made by itself."""
        self.ended_ns = perf_counter_ns()
        self.outcome = outcome
        if isinstance(outcome, Success):
            self.tries = outcome.unwrap().tries


def _time_ns(text: str) -> int | None:
    """Return the instant of a timestamp, or `None` where it is not valid."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


DELIVERY_PROGRESS: Final[ContextVar[DeliveryProgress | None]] = ContextVar(
    "DELIVERY_PROGRESS", default=None
)
