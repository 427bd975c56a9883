"""Our two verbs beside `returns`."""

from __future__ import annotations

import asyncio

from returns.result import Failure, Result, Success

from sonda.pipeline.problems import NotJson, Problem
from sonda.pipeline.result import fold, then

PROBLEM: Problem = NotJson("x")


def test_then_goes_on_with_a_success_alone() -> None:
    """A problem passes by untouched."""
    asked: list[int] = []

    async def double(number: int) -> Result[int, Problem]:
        asked.append(number)
        return Success(2 * number)

    assert asyncio.run(then(Success(2), double)) == Success(4)
    assert asyncio.run(then(Failure(PROBLEM), double)) == Failure(PROBLEM)
    assert asked == [2]


def test_fold_leaves_with_either() -> None:
    """One function for the success, one for the problem."""
    assert fold(Success(2), str, repr) == "2"
    assert fold(Failure(PROBLEM), str, str) == str(PROBLEM)
