"""Whoever names a destination of the operator's sees no secret of it."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.hiding import (
    hide_advisories,
    hide_group_cancellation,
    hide_outcome,
    hide_problem,
    hide_refusal,
)
from sonda.pipeline.interruption import InterruptedGroup
from sonda.pipeline.model import NamedDestination, PluginRef, Receipt, ValidatedEvent
from sonda.pipeline.problems import (
    Forbidden,
    Invalid,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    ValidationIssue,
)
from sonda.pipeline.wire_preview import Preview, WirePreview
from tests.support.events import record

SECRET = "tr0ub4dor"
HIDDEN = {SECRET: "***", "hooks.example": "prod"}


class Options:
    """Of a sink that has headers."""

    headers: ClassVar = {"X-Scope": "ab"}


class Folder:
    """Of a sink that writes a file."""

    path = "/srv/x"


def validated(
    *, named: bool = True, options: Any = Options, warnings: tuple[str, ...] = ()
) -> ValidatedEvent:
    encoder = PluginRef("json_lines", None, None, "{}")
    sink = PluginRef("http_push", None, options, "{}")
    destination = NamedDestination(encoder, sink, name="prod", hidden=HIDDEN) if named else None
    return ValidatedEvent(record(), encoder, sink, warnings, destination=destination)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (
            Refused("http://hooks.example/", "401", f"bad key {SECRET}"),
            Refused("http://prod/", "401", "bad key ***"),
        ),
        (
            Unreachable("TCP connect to hooks.example:1", "no"),
            Unreachable("TCP connect to prod:1", "no"),
        ),
        (OutcomeUnknown("hooks.example", SECRET, 7), OutcomeUnknown("prod", "***", 7)),
        (Forbidden(SECRET, "ask"), Forbidden("***", "ask")),
    ],
)
def test_a_problem(problem: Problem, expected: Problem) -> None:
    """Every text of it is looked through."""
    assert hide_problem(problem, HIDDEN) == expected
    assert hide_refusal(Failure(problem), validated()) == Failure(expected)
    assert hide_outcome(Failure(problem), validated()) == Failure(expected)


def test_the_bodys_own_is_not_hidden() -> None:
    """A client may read what it wrote itself, where it happens to be a secret of others."""
    problem = Invalid((ValidationIssue("labels.a", SECRET),))
    assert hide_problem(problem, HIDDEN) is problem


def test_an_event_with_a_sink_of_its_own() -> None:
    """Nothing is the operator's, and nothing is changed."""
    outcome: Result[Receipt, Problem] = Failure(Forbidden(SECRET, ""))
    refusal: Result[int, Problem] = Failure(Forbidden(SECRET, ""))
    unnamed = validated(named=False, warnings=(SECRET,))
    assert hide_outcome(outcome, unnamed) is outcome
    assert hide_refusal(refusal, unnamed) is refusal
    assert hide_advisories(unnamed) is unnamed


def test_advisories() -> None:
    """They may name what an option holds."""
    assert hide_advisories(validated(warnings=(f"{SECRET} is short", "b"))).warnings == (
        "*** is short",
        "b",
    )
    bare = validated()
    assert hide_advisories(bare) is bare


def preview(**changes: Any) -> Preview:
    parts: dict[str, Any] = {
        "target": "http_push hooks.example",
        "framing": "-",
        "body": b"",
        "facts": {},
        "headers": (),
        **changes,
    }
    return Preview(
        signal_type="logs",
        encoder="json_lines",
        sink="http_push",
        time_ns=1,
        departure=WirePreview(**parts),
        decoded=None,
        warnings=(SECRET,),
    )


def test_a_preview() -> None:
    """A header of the operator's is hidden by its name, and of a request line the whole path."""
    shown = hide_outcome(
        Success(
            preview(
                facts={
                    "request": f"POST /a/{SECRET} HTTP/1.1",
                    "path": "/x",
                    "bytes": 3,
                    "topic": SECRET,
                },
                headers=(("x-scope", "ab"), ("Host", "hooks.example")),
            )
        ),
        validated(),
    ).unwrap()
    assert shown.departure.target == "http_push prod"
    assert shown.departure.facts == {
        "request": "POST /*** HTTP/1.1",
        "path": "***",
        "bytes": 3,
        "topic": "***",
    }
    assert shown.departure.headers == (("x-scope", "***"), ("Host", "prod"))
    assert shown.warnings == ("***",)


def test_a_preview_of_a_file() -> None:
    """Where it lies is the operator's."""
    shown = hide_outcome(Success(preview(target="/srv/x")), validated(options=Folder)).unwrap()
    assert shown.departure.target == "***"


def test_a_group_that_was_cancelled() -> None:
    """Each event's outcome is hidden by its own destination."""
    outcomes: list[Result[Receipt, Problem]] = [Failure(Unreachable(SECRET, "x"))] * 2
    cancelled = asyncio.CancelledError()
    cancelled.__cause__ = InterruptedGroup(outcomes)
    hide_group_cancellation(cancelled, [validated(), validated(named=False)])
    assert isinstance(cancelled.__cause__, InterruptedGroup)
    assert [str(one.failure()).count(SECRET) for one in cancelled.__cause__.outcomes] == [0, 1]


def test_a_cancellation_that_says_nothing() -> None:
    """It is left as it is."""
    cancelled = asyncio.CancelledError()
    hide_group_cancellation(cancelled, [validated()])
    assert cancelled.__cause__ is None
