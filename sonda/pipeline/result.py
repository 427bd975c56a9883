"""Our two verbs beside `returns`: `then` goes on with an async step, `fold` leaves the railway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from returns.result import Failure, Result, Success

from sonda.pipeline.problems import Problem

A = TypeVar("A")
B = TypeVar("B")


async def then(
    result: Result[A, Problem], step: Callable[[A], Awaitable[Result[B, Problem]]]
) -> Result[B, Problem]:
    """Run an async *step* on a success; pass a problem on untouched."""
    if isinstance(result, Success):
        return await step(result.unwrap())
    return Failure(result.failure())


def fold(
    result: Result[A, Problem], succeeded: Callable[[A], B], failed: Callable[[Problem], B]
) -> B:
    """Leave the railway: one function for the success, one for the problem."""
    if isinstance(result, Success):
        return succeeded(result.unwrap())
    return failed(result.failure())
