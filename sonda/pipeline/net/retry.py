"""Retries: one try, or as many as `retry` and the deadline allow, and one verdict on them all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import UNDER_WAY, AttemptFailure, Delivery
from sonda.pipeline.interruption import (
    Interrupted,
    InterruptedGroup,
    explain,
    outcomes_of_group,
    what_became,
)
from sonda.pipeline.model import Ack
from sonda.pipeline.problems import Problem, Unreachable
from sonda.pipeline.unknown_or_unsent import WHILE_UNSENT
from sonda.pipeline.values.durations import seconds

T = TypeVar("T")

Outcome: TypeAlias = Result[Ack, AttemptFailure]
"""What one try of one event has come to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often to try again, and how long to wait before.

    *max_attempts* counts what follows the first try: 3 make 4 tries.
    """

    max_attempts: int
    initial_backoff: str = "100ms"
    max_backoff: str = "5s"


async def deliver_with_retries(
    attempt: Callable[[], Awaitable[Outcome]],
    retry: Retry | None,
    deadline: Deadline,
    *,
    first: Outcome | None = None,
) -> Result[Ack, Problem]:
    """Try until a try is acknowledged, or no further one is due; then return the verdict.

    *first* is the outcome of a try that has been made, and counted.
    """
    delivery = next(iter(UNDER_WAY.get()), None) or Delivery()
    while True:
        try:
            if first is None:
                delivery.tries += 1
                outcome = await attempt()
            else:
                outcome, first = first, None
                delivery.tries = delivery.tries or 1
        except asyncio.CancelledError as exc:
            earlier: Problem | None = delivery.unknown  # that try may have come through
            if earlier is None and delivery.failure and isinstance(what_became(exc), Unreachable):
                earlier = delivery.failure.problem
            if earlier is not None:
                exc.__cause__ = Interrupted(earlier)
            raise
        if isinstance(outcome, Success):
            return delivery.acknowledged(outcome.unwrap())
        failure = delivery.failed(outcome.failure())
        wait_s = wait_before_next(delivery, failure, retry, deadline)
        if wait_s is None:
            return delivery.given_up(failure)
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError as exc:
            explain(exc, delivery.unknown or failure.problem)
            raise


async def deliver_many_with_retries(
    attempt: Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]],
    items: Sequence[T],
    retry: Retry | None,
    deadline: Deadline,
) -> list[Result[Ack, Problem]]:
    """Try a group until each of *items* has its verdict; return these in the order of the items.

    Those whose try failed and may be repeated go together again, after the longest wait that one
    of them asks for. *attempt* returns an outcome for each item that it is handed, in their order.
    """
    group = _Group(len(items), retry, deadline)
    try:
        while group.due:
            pause_s = group.judge(await attempt(group.start([items[place] for place in group.due])))
            if group.due:
                await asyncio.sleep(pause_s)
    except asyncio.CancelledError as exc:
        outcomes = outcomes_of_group(exc)
        if outcomes is not None:
            group.judge(outcomes, is_last=True)
        exc.__cause__ = InterruptedGroup(group.give_up())
        raise
    return group.verdicts()


class _Group:
    """The deliveries of a group, and which of them are *due*, by their places in the group."""

    def __init__(self, size: int, retry: Retry | None, deadline: Deadline) -> None:
        known = UNDER_WAY.get()
        self._deliveries = known if len(known) == size else [Delivery() for _ in range(size)]
        for delivery in self._deliveries:
            delivery.shared = True
        self._verdicts: dict[int, Result[Ack, Problem]] = {}
        self._retry = retry
        self._deadline = deadline
        self.due = list(range(size))

    def start(self, items: Sequence[T]) -> Sequence[T]:
        """Count a try of all that are due; return *items*."""
        for place in self.due:
            self._deliveries[place].tries += 1
        return items

    def judge(self, outcomes: Sequence[Outcome], *, is_last: bool = False) -> float:
        """Record the outcomes of those that were due; return the seconds until the next try.

        With *is_last* there is none.
        """
        again: list[int] = []
        pause_s = 0.0
        before: tuple[Outcome, int] | None = None
        verdict: Result[Ack, Problem]
        for place, outcome in zip(self.due, outcomes, strict=True):
            delivery = self._deliveries[place]
            if isinstance(outcome, Success):
                if before is None or before[0] is not outcome or before[1] != delivery.tries:
                    before = outcome, delivery.tries  # those of one push share their verdict
                    verdict = delivery.acknowledged(outcome.unwrap())
                self._verdicts[place] = verdict
                continue
            failure = delivery.failed(outcome.failure())
            wait_s = wait_before_next(delivery, failure, self._retry, self._deadline)
            if wait_s is None or is_last:
                self._verdicts[place] = delivery.given_up(failure)
            else:
                again.append(place)
                pause_s = max(pause_s, wait_s)
        self.due = again
        return pause_s

    def give_up(self) -> list[Result[Ack, Problem]]:
        """Return the verdicts where no further try is made: the last failure is an event's own."""
        for place in self.due:
            delivery = self._deliveries[place]
            if delivery.failure is not None:
                self._verdicts[place] = delivery.given_up(delivery.failure)
            else:
                unsent = Unreachable("send", WHILE_UNSENT)
                self._verdicts[place] = Failure(delivery.unknown or unsent)
        return self.verdicts()

    def verdicts(self) -> list[Result[Ack, Problem]]:
        """Return the verdicts in the order of the group."""
        return [self._verdicts[place] for place in range(len(self._deliveries))]


def wait_before_next(
    delivery: Delivery, failure: AttemptFailure, retry: Retry | None, deadline: Deadline
) -> float | None:
    """Return the seconds to wait before the next try; `None` if there is to be none.

    The wait is exponential with full jitter, unless the destination asks for one of its own. One
    that does not fit the deadline is not begun.
    """
    if retry is None or not failure.retryable or delivery.tries > retry.max_attempts:
        return None
    longest_s = seconds(retry.max_backoff)
    if failure.wait_s is not None:
        wait_s = min(failure.wait_s, longest_s)
    else:
        doublings = min(delivery.tries - 1, 60)  # beyond, only the float would overflow
        backoff_s = min(longest_s, seconds(retry.initial_backoff) * 2**doublings)
        wait_s = random.uniform(0, backoff_s)  # noqa: S311  # no secret
    return wait_s if wait_s < deadline.left_s() else None
