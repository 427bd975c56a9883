"""What becomes of an event whose delivery is cancelled.

A delivery is cancelled where it waits: at the end of a server's grace period, or when the user of
the library gives up. The cancellation passes through as it is, or time-outs around a delivery would
not work; but its cause says what has become of the event, for whoever must answer for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from returns.result import Result

from sonda.pipeline.problems import Problem


class Interrupted(Exception):  # noqa: N818  # the cause of a cancellation, no error by itself
    """The cause of a cancellation that has ended a delivery."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def explain(exc: asyncio.CancelledError, problem: Problem) -> None:
    """Attach what has become of the event to a cancellation, unless that is known already."""
    if not isinstance(exc.__cause__, Interrupted):
        exc.__cause__ = Interrupted(problem)


def what_became(exc: asyncio.CancelledError) -> Problem | None:
    """Read what a cancellation says of the event."""
    return exc.__cause__.problem if isinstance(exc.__cause__, Interrupted) else None


class InterruptedGroup(Exception):  # noqa: N818  # the cause of a cancellation, no error by itself
    """The cause of a cancellation that has ended the delivery of a group, and each one's outcome."""

    def __init__(self, outcomes: Sequence[Result[Any, Any]]) -> None:
        super().__init__(f"a group of {len(outcomes)}")
        self.outcomes = outcomes


def outcomes_of_group(exc: asyncio.CancelledError) -> Sequence[Result[Any, Any]] | None:
    """Return the outcomes, in the order of the group, that a cancellation names, if it does."""
    return exc.__cause__.outcomes if isinstance(exc.__cause__, InterruptedGroup) else None
