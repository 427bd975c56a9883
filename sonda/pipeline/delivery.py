"""One event's way to its destination: where it is, how often it was tried, what is known. No I/O.

Whoever hands events to the pipeline may make their deliveries; each is written by the stages that
its event passes, and read by the observer and by whoever answers for the event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, Final, Literal, Protocol, TypeAlias

from msgspec import Struct, field, structs
from returns.result import Failure, Result, Success

from sonda.pipeline.model import Ack, Receipt, ValidatedEvent
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.values.timestamps import parse_rfc3339

Origin: TypeAlias = Literal["request", "scenario", "library"]


class AttemptFailure(Struct, frozen=True):
    """A try that failed; *wait_s* is the wait before the next one that the destination asks for.

    *per_event* is whether the refusal may be about this one event; others would have met any.
    *rejected* is how many of the request's events were refused, where the others were taken and the
    answer does not tell which. *reached* is whether the destination has seen anything of the try, if only a connection.
    """

    problem: Problem
    retryable: bool = False
    wait_s: float | None = None
    per_event: bool = False
    reached: bool = True
    rejected: int = 0


class Carrier(Protocol):
    """What carries the bytes of a connection."""

    @property
    def sent_bytes(self) -> int:
        """How many bytes of all tries have left on it."""


class Attempt(Struct, eq=False):
    """How far a try has got, at any time: to the peer, to a connection, and with how many bytes.

    Between the first two lies the TLS handshake.
    """

    reached: bool = False
    reused: bool = False
    """Whether its connection has carried other events before."""
    has_received: bool = False
    """Whether the peer has said anything since it was reached, if only a part of an answer."""
    _carrier: Carrier | None = None
    _mark: int = 0

    def attach(self, carrier: Carrier, *, reused: bool) -> None:
        """Continue on this connection; bytes that have left on it are counted from now on."""
        self.reached, self.reused, self.has_received = True, reused, False
        self._carrier, self._mark = carrier, carrier.sent_bytes

    @property
    def connected(self) -> bool:
        """Return whether it has got a connection."""
        return self._carrier is not None

    @property
    def sent_bytes(self) -> int:
        """How many bytes have left, TLS's own included."""
        return 0 if self._carrier is None else self._carrier.sent_bytes - self._mark

    @property
    def has_left(self) -> bool:
        """Return whether a byte has left."""
        return self.sent_bytes > 0


class Delivery(Struct, eq=False):
    """What is known of one event; instants are `perf_counter_ns`, 0 before they come.

    If the outcome of any try is unknown, so is the outcome of them all, unless a later try is
    acknowledged. A destination that turns out to be forbidden after a try has reached it is a
    failure like others: something was sent.

    *time_ns* is the event's time, *given_ns* the one that its body names. *may_be_stored* is true
    once any try has ended so that the destination may have the event. *pushes* has, for each push
    that this event is to be counted with, how many events were in it; an event that was never in a
    queue with others (not *shared*) is a push of its own with each try.
    """

    id: str = ""
    origin: Origin = "library"
    key_name: str = ""
    validated: ValidatedEvent | None = None
    began_ns: int = field(default_factory=perf_counter_ns)
    prepared_ns: int = 0
    encoded_ns: int = 0
    waited_ns: int = 0
    ended_ns: int = 0
    document: Mapping[str, Any] = {}
    time_ns: int = 0
    given_ns: int | None = None
    tries: int = 0
    failure: AttemptFailure | None = None
    unknown: OutcomeUnknown | None = None
    outcome: Result[Receipt, Problem] | None = None
    pushes: list[int] = []
    shared: bool = False
    may_be_stored: bool = False
    _reached: bool = False
    _is_refused: bool = False

    @classmethod
    def of(cls, validated: ValidatedEvent | None) -> Delivery:
        """Return the delivery of an event that comes validated, unless its body was not valid."""
        return cls(validated=validated, time_ns=validated.event.time_ns if validated else 0)

    # stages

    def prepared(
        self,
        document: Result[dict[str, Any], Problem],
        validated: Result[ValidatedEvent, Problem],
        received_ns: int,
    ) -> None:
        """Record what validation and the advisories have come to."""
        self.prepared_ns = perf_counter_ns()
        self.time_ns = received_ns
        self.validated = validated.value_or(None)
        read = document.value_or({})
        if (given := read.get("timestamp")) is not None and isinstance(given, str):
            self.given_ns = _time_ns(given)
        if self.validated is None:
            self.document = _names_in(read)
        else:
            self.time_ns = self.validated.event.time_ns

    def waited(self, since_ns: int, until_ns: int) -> None:
        """Record a wait in a queue, which lasts until now where its turn has not come (0)."""
        self.shared = True
        self.waited_ns += max(0, (until_ns or perf_counter_ns()) - since_ns)

    def ended(self, outcome: Result[Receipt, Problem]) -> tuple[str, ...]:
        """Record the outcome, and return what the user should know of the event.

        Of its tries those are recorded, too, that a library below has made by itself.
        """
        self.ended_ns = perf_counter_ns()
        self.outcome = outcome
        if isinstance(outcome, Success):
            receipt: Receipt = outcome.unwrap()
            self.tries = receipt.tries
            return receipt.warnings
        return () if self.validated is None else self.validated.warnings

    # tries

    def acknowledged(self, ack: Ack) -> Result[Ack, Problem]:
        """Return the outcome of an event whose last try was acknowledged."""
        return Success(ack if self.tries == 1 else structs.replace(ack, tries=self.tries))

    def failed(self, failure: AttemptFailure) -> AttemptFailure:
        """Record a try that failed; return its failure, as it is after the tries before it.

        What a try could not reach may have been reached, and have said no, before.
        """
        problem = failure.problem
        self.may_be_stored |= getattr(problem, "may_be_stored", False)
        if isinstance(problem, OutcomeUnknown):
            self.unknown = problem
        if isinstance(problem, Forbidden) and self._reached:
            problem = Unreachable("connect again", str(problem))
        if isinstance(problem, Unreachable) and self._is_refused:
            problem = replace(problem, after_refusal=True)
        self._is_refused |= isinstance(problem, Refused)
        self._reached |= failure.reached
        self.failure = (
            failure if problem is failure.problem else structs.replace(failure, problem=problem)
        )
        return self.failure

    def given_up(self, failure: AttemptFailure) -> Result[Ack, Problem]:
        """Return the outcome of an event that is not tried again after *failure*."""
        return Failure(self.unknown or failure.problem)

    def unfinished(self, why: str) -> Problem:
        """Return what is known of the event if nobody waits for it any longer, because of *why*.

        That is its outcome if it has one, else the outcome of the tries so far; where there was
        none, nothing has left.
        """
        if isinstance(self.outcome, Failure):
            problem: Problem = self.outcome.failure()
            return problem
        if self.unknown is not None:
            return self.unknown
        if self.failure is not None:
            return self.failure.problem
        return Unreachable(
            "send" if self.validated is None else f"send to {self.validated.sink.name}", why
        )


UNDER_WAY: Final[ContextVar[tuple[Delivery, ...]]] = ContextVar("UNDER_WAY", default=())
"""The deliveries that a task works on: one, those of a group, or none."""


class delivering:  # noqa: N801  # a context manager; made of a generator it would cost more
    """Let what runs in the block write down how far these events come."""

    __slots__ = ("_deliveries", "_token")

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self._deliveries = tuple(deliveries)

    def __enter__(self) -> None:
        self._token = UNDER_WAY.set(self._deliveries)

    def __exit__(self, *_: object) -> None:
        UNDER_WAY.reset(self._token)


def _names_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what names a body's signal type and plug-ins: the rest of it may be a megabyte."""
    options = {kind: document.get(kind) for kind in ("encoder", "sink")}
    types = {
        kind: {"type": written.get("type")}
        for kind, written in options.items()
        if isinstance(written, dict) and isinstance(written.get("type"), str)
    }
    signal = document.get("signal_type")
    return {**types, "signal_type": signal} if isinstance(signal, str) else types


def _time_ns(text: str) -> int | None:
    """Return the instant of a timestamp, or `None` where it is not valid."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
