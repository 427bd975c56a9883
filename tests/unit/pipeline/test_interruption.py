"""The cause of a cancellation says what has become of the event."""

from __future__ import annotations

import asyncio

from returns.result import Failure, Success

from sonda.pipeline.interruption import (
    InterruptedGroup,
    explain,
    outcomes_of_group,
    what_became,
)
from sonda.pipeline.problems import OutcomeUnknown, Unreachable

UNKNOWN = OutcomeUnknown("a:1", "(Broken pipe)", 1)
UNSENT = Unreachable("connect to a:1", "its delivery was cut off")


def test_the_first_word_counts() -> None:
    """It comes from where the delivery was cut off; those around know less."""
    exc = asyncio.CancelledError()
    assert what_became(exc) is None
    explain(exc, UNKNOWN)
    explain(exc, UNSENT)
    assert what_became(exc) == UNKNOWN


def test_a_group_has_an_outcome_for_each() -> None:
    """In the group's order; a single event's cancellation has none."""
    exc = asyncio.CancelledError()
    assert outcomes_of_group(exc) is None
    exc.__cause__ = InterruptedGroup([Success(1), Failure(UNSENT)])
    assert outcomes_of_group(exc) == [Success(1), Failure(UNSENT)]
    assert what_became(exc) is None
