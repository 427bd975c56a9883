"""Issues name the option that was typed."""

from __future__ import annotations

import pytest

from sonda.cli.destinations import Options
from sonda.cli.wording import as_typed
from sonda.pipeline.problems import ValidationIssue, missing_extra


@pytest.mark.parametrize(
    ("path", "options", "worded"),
    [
        ("log.severity", Options(), "--severity: x"),
        ("labels.a", Options(), "--label.a: x"),
        ("metric.value", Options(), "VALUE: x"),
        ("labelsandmore", Options(), "labelsandmore: x"),
        ("sink.timeout", Options(timeout="5"), "--timeout: x"),
        ("sink.timeout", Options(), "--to loki=…: x"),
        ("sink.url", Options(), "--to loki=…: x"),
        ("sink.headers.A", Options(settings=("sink.headers.A=b",)), "--set sink.headers.A: x"),
        ("sink.headers[0]", Options(settings=("sink.headers=b",)), "--set sink.headers: x"),
        ("verify.timeout", Options(verify="5"), "--verify: x"),
        ("verify.url", Options(verify_url="q"), "--verify-url: x"),
    ],
)
def test_an_issue(path: str, options: Options, worded: str) -> None:
    """By the option, the setting, or the target that it came by."""
    assert as_typed("loki=http://a", options)(ValidationIssue(path, "x")) == worded


def test_a_named_target_shows_the_field() -> None:
    """Nobody has typed it here."""
    assert (
        as_typed("stage", Options())(ValidationIssue("sink.url", "x")) == "--to stage: sink.url: x"
    )


def test_an_issue_that_names_its_subject_stays() -> None:
    """Nothing stands before it."""
    issue = missing_extra("sink", "kafka", "kafka")
    assert as_typed("kafka=a", Options())(issue) == str(issue)
    assert as_typed("a", Options())(ValidationIssue("", "x")) == "x"
