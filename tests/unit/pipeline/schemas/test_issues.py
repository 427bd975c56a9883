"""Issues are sorted by what they are about, structure hides values, and only the first are listed."""

from __future__ import annotations

from typing import Any

from sonda.pipeline.problems import MAX_ISSUES, Invalid, Malformed, ValidationIssue
from sonda.pipeline.schemas.issues import (
    SchemaError,
    find_issues,
    order_of,
    problem_of,
    schema_error,
)
from sonda.pipeline.schemas.validators import compile_explaining


def issues_of(schema: dict[str, Any], document: Any) -> list[tuple[bool, str]]:
    found = find_issues(compile_explaining(schema), document)
    return [(error.structural, str(error.issue)) for error in found]


def test_no_errors_are_no_problem() -> None:
    """The body is fine."""
    assert problem_of([]) is None


def test_structure_hides_values() -> None:
    """What a value should be says nothing where its field does not exist."""
    wrong = schema_error(("sink", "url"), "must be a URL")
    misplaced = schema_error(("sink", "a"), "unknown field", structural=True)
    assert problem_of([wrong, misplaced]) == Malformed(
        (ValidationIssue("sink.a", "unknown field"),)
    )
    assert problem_of([wrong]) == Invalid((ValidationIssue("sink.url", "must be a URL"),))


def test_envelope_event_encoder_sink() -> None:
    """In this order, whichever was found first."""
    assert [order_of((name,)) for name in ("labels", "log", "metric", "encoder", "sink")] == [
        0,
        1,
        1,
        2,
        3,
    ]
    assert order_of(()) == 0
    problem = problem_of([schema_error((name,), "x") for name in ("sink", "log", "labels")])
    assert problem is not None
    assert str(problem) == "labels: x; log: x; sink: x"


def test_only_the_first_are_listed() -> None:
    """The rest are counted, those too that were never put into words."""
    errors = [schema_error(("labels", str(number)), "x") for number in range(MAX_ISSUES + 5)]
    problem = problem_of([*errors, SchemaError(0, False, None, 7)])
    assert isinstance(problem, Invalid)
    assert len(problem.issues) == MAX_ISSUES
    assert problem.more == 12
    assert str(problem).endswith("; and 12 more")


def test_a_wrong_type_is_one_issue() -> None:
    """What its value should have been is explained by it."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 1, "enum": ["abc"]}},
        "required": ["b"],
        "additionalProperties": False,
    }
    assert issues_of(schema, {"a": 7, "c": 1}) == [
        (True, "a: expected a string, got a number"),
        (True, "missing field 'b'"),
        (True, "unknown field 'c'"),
    ]
