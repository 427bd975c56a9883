"""Parameters of generators, as their schemas say: exact, with their defaults."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from sonda.pipeline.problems import Invalid, ValidationIssue
from sonda.pipeline.scenarios.parameters import read_parameters
from sonda.pipeline.scenarios.structure import Issues
from sonda.pipeline.schemas.registry import GeneratorKind


def read(kind: GeneratorKind, **written: Any) -> dict[str, Any] | None:
    issues = Issues()
    found = read_parameters(kind, written, ("entry", "generator"), issues)
    assert issues.problem() is None
    return found


def test_numbers_are_what_their_text_says() -> None:
    """A tenth is a tenth."""
    found = read("generator", type="uniform", min=0.1, max=Decimal("0.30"))
    assert found is not None
    assert (found["min"], found["max"]) == (Fraction(1, 10), Fraction(3, 10))


def test_lists_of_numbers() -> None:
    """Each of them."""
    found = read("generator", type="sequence", values=[1, 0.1, 2])
    assert found is not None
    assert found["values"] == [Fraction(1), Fraction(1, 10), Fraction(2)]


@pytest.mark.parametrize(
    ("kind", "written", "place"),
    [
        ("generator", {"type": "constant", "value": float("inf")}, "value"),
        ("distribution", {"type": "exponential", "rate": float("nan")}, "rate"),
    ],
)
def test_a_number_that_cannot_be_computed_with(
    kind: GeneratorKind, written: dict[str, Any], place: str
) -> None:
    """Its place in the document is named."""
    issues = Issues()
    assert read_parameters(kind, written, ("e",), issues) is None
    problem = issues.problem()
    assert isinstance(problem, Invalid)
    [issue] = problem.issues
    assert isinstance(issue, ValidationIssue)
    assert issue.path == f"e.{place}"
