"""A problem's text is the contract's `detail`."""

from __future__ import annotations

from typing import get_args

import pytest

from sonda.pipeline.problems import (
    MAX_ISSUES,
    DestinationBusy,
    Forbidden,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    ValidationIssue,
    first_issues,
    missing_extra,
)

ISSUES = (ValidationIssue("a", "too long"), ValidationIssue("", "must have a name"))
TEXTS: list[tuple[Problem, str]] = [
    (NotJson("line 1"), "the body is not valid JSON: line 1"),
    (Malformed(ISSUES), "a: too long; must have a name"),
    (Invalid(ISSUES, 2), "a: too long; must have a name; and 2 more"),
    (Forbidden("no"), "no"),
    (Forbidden("no", "--x would"), "no; --x would"),
    (
        DestinationBusy("a:1", 3),
        "3 events for a:1 are under way, which is all that one destination may have: try again",
    ),
    (
        Unreachable("TCP connect to a:1", "Connection refused"),
        "sink error: TCP connect to a:1: Connection refused",
    ),
    (Refused("http://a", "400 Bad Request"), "sink error: http://a answered 400 Bad Request"),
    (Refused("http://a", "400 X", "why"), "sink error: http://a answered 400 X: why"),
    (
        OutcomeUnknown("a:1", "within 10s", 1_500_000_000),
        (
            "sink error: no acknowledgement from a:1 within 10s; the event (timestamp "
            "1970-01-01T00:00:01.500000000Z) may or may not have been delivered"
        ),
    ),
]


@pytest.mark.parametrize(("problem", "text"), TEXTS)
def test_a_problem_says_what_happened(problem: Problem, text: str) -> None:
    """And what the caller may conclude."""
    assert str(problem) == text


def test_every_problem_is_listed_here() -> None:
    """The union is closed."""
    assert {type(problem) for problem, _ in TEXTS} == {*get_args(Problem)}


def test_only_the_first_issues_are_put_into_words() -> None:
    """A body may have a million wrong values."""
    worded: list[int] = []

    def issue(number: int) -> ValidationIssue:
        worded.append(number)
        return ValidationIssue(str(number), "x")

    problem = first_issues(range(1000), issue)
    assert worded == [*range(MAX_ISSUES)]
    assert problem.more == 1000 - MAX_ISSUES


def test_a_missing_extra_says_how_to_install_it() -> None:
    """The issue's subject is in its words, not before them."""
    issue = missing_extra("sink", "kafka", "kafka")
    assert issue.path == "sink.type"
    assert str(issue) == (
        "sink type 'kafka' requires the 'kafka' feature: pip install 'sonda-events[kafka]'"
    )


def test_whether_it_may_be_stored_is_no_part_of_what_a_refusal_is() -> None:
    """Two refusals in the same words are equal."""
    assert Refused("a", "500 X", may_be_stored=True) == Refused("a", "500 X")
