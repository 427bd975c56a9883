"""Verdicts on the body of an HTTP answer, and the judges that return them.

A status that is a refusal speaks for itself. Some APIs say no inside a 2xx, too: a sink that posts
to one of these names a `Judge`, which reads the answer and returns one of the verdicts below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import httpx
from msgspec import Struct


class HttpAnswer(Struct, frozen=True):
    """An answer whose status is a yes; *whole* is false where the body was cut off at a bound.

    *body* is as it came, before its content coding is undone.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    whole: bool = True


class Accepted(Struct, frozen=True):
    """The destination took every event of the request; *message* is what else it said."""

    message: str = ""


class Rejected(Struct, frozen=True):
    """The destination said no inside a 2xx.

    *what* continues the status ("but rejected the event"), *words* are the destination's own, and
    *per_event* is true where only some of the request's events may be meant, and *may_be_stored*
    where the answer does not say that the event was dropped. *rejected* is how many events are meant,
    where they are some of several, and the answer does not tell which.
    """

    what: str
    words: str = ""
    per_event: bool = False
    may_be_stored: bool = False
    rejected: int = 0


class Unreadable(Struct, frozen=True):
    """The body is none that can be judged, so that the outcome is unknown; *why* says it."""

    why: str


Verdict: TypeAlias = Accepted | Rejected | Unreadable
Judge: TypeAlias = Callable[[HttpAnswer, int], Verdict]
"""Judge an answer to a request with so many events; pure."""


def status_is_enough(_answer: HttpAnswer, _events: int) -> Verdict:
    """Accept every event, whatever the body says."""
    return Accepted()


def judge_in_turn(first: Judge, second: Judge) -> Judge:
    """Return a judge that accepts what both accept; the first one's objection comes first."""

    def judge(answer: HttpAnswer, events: int) -> Verdict:
        verdict = first(answer, events)
        return second(answer, events) if isinstance(verdict, Accepted) else verdict

    return judge
