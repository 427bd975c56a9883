"""Tries: one, or as many as `retry` and the deadline allow, and one verdict on them all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from msgspec import structs
from returns.result import Failure, Result, Success

from sonda.pipeline.course import DELIVERY_PROGRESS
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.interruption import Interrupted, explain
from sonda.pipeline.model import Ack
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.values.durations import seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often to try again, and how long to wait before."""

    max_attempts: int
    initial_backoff: str
    max_backoff: str


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """A try that failed; *wait_s* is the wait before the next one that the destination asks for.

    *per_event* tells a refusal that may be about one event from one that any would have met.
    *reached* tells whether the destination has seen anything of the try, if only a connection.
    """

    problem: Problem
    retryable: bool = False
    wait_s: float | None = None
    per_event: bool = False
    reached: bool = True


async def deliver_with_retries(
    attempt: Callable[[], Awaitable[Result[Ack, AttemptFailure]]],
    retry: Retry | None,
    deadline: Deadline,
) -> Result[Ack, Problem]:
    """Try until a try is acknowledged, or no further one is due; then the last one's problem.

    If the outcome of any try is unknown, so is the outcome of them all. A destination that turns
    out to be forbidden after a try has reached it is a failure like others: something was sent.
    """
    unknown: OutcomeUnknown | None = None
    reached = False
    tries = 0
    course = DELIVERY_PROGRESS.get()
    while True:
        tries += 1
        if course is not None:
            course.tries = tries
        outcome = await _attempt(attempt, unknown)
        if isinstance(outcome, Success):
            return (
                outcome if tries == 1 else Success(structs.replace(outcome.unwrap(), tries=tries))
            )
        setback = outcome.failure()
        if course is not None:
            course.may_be_stored |= getattr(setback.problem, "may_be_stored", False)
        if isinstance(setback.problem, OutcomeUnknown):
            unknown = setback.problem
        if isinstance(setback.problem, Forbidden) and reached:
            setback = replace(setback, problem=Unreachable("connect again", str(setback.problem)))
        reached |= setback.reached
        if retry is None or not setback.retryable or tries > retry.max_attempts:
            break
        wait_s = _wait_s(retry, setback, tries)
        if wait_s >= deadline.left_s():
            break
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError as exc:
            explain(exc, unknown or setback.problem)
            raise
    return Failure(unknown or setback.problem)


async def _attempt(
    attempt: Callable[[], Awaitable[Result[Ack, AttemptFailure]]], unknown: OutcomeUnknown | None
) -> Result[Ack, AttemptFailure]:
    """Try once; cancelled, the outcome is that of an earlier try if that one is *unknown*."""
    try:
        return await attempt()
    except asyncio.CancelledError as exc:
        if unknown is not None:
            exc.__cause__ = Interrupted(unknown)
        raise


def _wait_s(retry: Retry, setback: AttemptFailure, tries: int) -> float:
    """Exponential with full jitter, unless the destination asks for a wait of its own."""
    longest_s = seconds(retry.max_backoff)
    if setback.wait_s is not None:
        return min(setback.wait_s, longest_s)
    doublings = min(tries - 1, 60)  # beyond, only the float would overflow
    return random.uniform(0, min(longest_s, seconds(retry.initial_backoff) * 2**doublings))  # noqa: S311  # no secret
