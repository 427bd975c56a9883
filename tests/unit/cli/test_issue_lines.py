"""An issue of a scenario's file is found on its line."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.cli.issue_lines import line_of
from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.scenarios.reading import read_file

TEXT = """\
# a comment
defaults:
  rate: fast
scenarios:
  - name: load
    labels: {"a b": 1, "c": ${X:-2}}
  -
    name: other
    nmae: x
"""
RAW = TEXT.replace("${X:-2}", "'${X:-2}'").encode()


def tree() -> dict[str, Any]:
    read: dict[str, Any] = read_file(RAW, {}).unwrap().tree
    return read


@pytest.mark.parametrize(
    ("path", "reason", "line"),
    [
        ("defaults.rate", "expected a number, got a string", 3),
        ('scenarios[0].labels["a b"]', "expected a string, got a number", 6),
        ("scenarios[0]", "missing field 'rate'", 5),
        ("scenarios[1]", "missing field 'rate'", 8),
        ("scenarios[1]", "unknown field 'nmae' (did you mean 'name'?)", 9),
        ("", "missing field 'name'", 2),
        ("scenarios[7].x", "nothing of the sort", 4),
    ],
)
def test_the_line(path: str, reason: str, line: int) -> None:
    """Of the value, of an unknown name, or of the object in which something is missing."""
    assert line_of(RAW, tree(), ValidationIssue(path, reason)) == line


def test_what_an_option_replaced_has_no_line() -> None:
    """The file is not to blame."""
    replaced = tree()
    replaced["defaults"]["rate"] = -1
    assert line_of(RAW, replaced, ValidationIssue("defaults.rate", "too small")) is None


@pytest.mark.parametrize("raw", [b"\xff", b"a: [", b"", b"- a"])
def test_what_is_no_document_has_no_line(raw: bytes) -> None:
    """Then the reason itself names the place."""
    assert line_of(raw, {}, ValidationIssue("", "x")) is None
