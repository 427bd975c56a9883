"""One event's way to its destination: how often it was tried, and what is known of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec import structs
from returns.result import Failure, Result, Success

from sonda.pipeline.model import Ack
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Unreachable


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """A try that failed; *wait_s* is the wait before the next one that the destination asks for.

    *per_event* is whether the refusal may be about this one event; others would have met any.
    *reached* is whether the destination has seen anything of the try, if only a connection.
    """

    problem: Problem
    retryable: bool = False
    wait_s: float | None = None
    per_event: bool = False
    reached: bool = True


class Delivery:
    """What the tries of one event have come to.

    If the outcome of any try is unknown, so is the outcome of them all, unless a later try is
    acknowledged. A destination that turns out to be forbidden after a try has reached it is a
    failure like others: something was sent.
    """

    __slots__ = ("_reached", "failure", "tries", "unknown")

    def __init__(self) -> None:
        self.tries = 0
        self.failure: AttemptFailure | None = None
        self.unknown: OutcomeUnknown | None = None
        self._reached = False

    def acknowledged(self, ack: Ack) -> Result[Ack, Problem]:
        """Return the outcome of an event whose last try was acknowledged."""
        return Success(ack if self.tries == 1 else structs.replace(ack, tries=self.tries))

    def failed(self, failure: AttemptFailure) -> None:
        """Record a try that failed."""
        if isinstance(failure.problem, OutcomeUnknown):
            self.unknown = failure.problem
        if isinstance(failure.problem, Forbidden) and self._reached:
            failure = replace(failure, problem=Unreachable("connect again", str(failure.problem)))
        self._reached |= failure.reached
        self.failure = failure

    def given_up(self, failure: AttemptFailure) -> Result[Ack, Problem]:
        """Return the outcome of an event that is not tried again after *failure*."""
        return Failure(self.unknown or failure.problem)
