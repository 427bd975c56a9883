"""`stages` of an entry: the schedule they make, and what they may not be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from sonda.pipeline.scenarios.compile_stages import read_stages
from sonda.pipeline.scenarios.structure import Issues


def read(*stages: dict[str, Any], **more: Any) -> tuple[Any, list[str]]:
    """Return the schedule, and what is wrong."""
    issues = Issues()
    found = read_stages({"stages": list(stages), **more}, ("scenarios", 0), issues)
    assert not issues.structural
    return found, [str(one.path) + ": " + one.reason for one in issues.values]


def test_stages_follow_each_other() -> None:
    """A ramp begins at the rate of the stage before it."""
    schedule, wrong = read({"rate": 2, "for": "1s"}, {"rate": 4, "for": "2s", "ramp": True})
    assert wrong == []
    assert schedule.planned == 2 + 6
    assert schedule.due(1) == Fraction(1, 2)
    assert schedule.target_rate(Fraction(2)) == 3


@pytest.mark.parametrize(("count", "planned"), [(3, 3), (100, 8)])
def test_a_count_ends_them_earlier(count: int, planned: int) -> None:
    """Never later than the last stage."""
    schedule, _ = read({"rate": 8, "for": "1s"}, count=count)
    assert schedule.planned == planned


@pytest.mark.parametrize(
    ("stages", "more", "expected"),
    [
        ([], {"gaps": {}}, "scenarios[0].gaps: does not go with stages: write a stage"),
        ([], {"bursts": {}}, "scenarios[0].bursts: does not go with stages: write a stage"),
        ([{"rate": 10**9, "for": "1s"}], {}, "scenarios[0].stages[0].rate: must be at most"),
        (
            [{"rate": 1, "for": "1s"}, {"rate": 1, "for": "soon"}],
            {},
            "scenarios[0].stages[1].for: ",
        ),
        ([{"rate": 0, "for": "1h"}], {}, "scenarios[0].stages: have no event: at least one rate"),
    ],
)
def test_what_is_wrong(stages: list[dict[str, Any]], more: dict[str, Any], expected: str) -> None:
    """The first thing alone, with its place; there is no schedule then."""
    schedule, [wrong] = read(*stages, **more)
    assert schedule is None
    assert wrong.startswith(expected)
