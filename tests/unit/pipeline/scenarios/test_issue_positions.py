"""An issue of a scenario's file is found at its line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sonda
from sonda.pipeline.problems import Unreachable, ValidationIssue
from sonda.pipeline.scenarios.issue_positions import position_of, with_positions
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
    ("path", "reason", "position"),
    [
        ("defaults.rate", "expected a number, got a string", (3, 3)),
        ('scenarios[0].labels["a b"]', "expected a string, got a number", (6, 14)),
        ("scenarios[0]", "missing field 'rate'", (5, 5)),
        ("scenarios[1]", "missing field 'rate'", (8, 5)),
        ("scenarios[1]", "unknown field 'nmae' (did you mean 'name'?)", (9, 5)),
        ("", "missing field 'name'", (2, 1)),
        ("scenarios[7].x", "nothing of the sort", (4, 1)),
    ],
)
def test_the_position(path: str, reason: str, position: tuple[int, int]) -> None:
    """Of the member, of an unknown name, or of the object in which something is missing."""
    assert position_of(RAW, {}, tree(), ValidationIssue(path, reason)) == position


def test_json_has_its_own_positions() -> None:
    """A tab and an escape are JSON, and not YAML."""
    raw = b'\n{"a\\/b": 1,\n\t"rate": "fast"}'
    document = {"a/b": 1, "rate": "fast"}
    assert position_of(raw, {}, document, ValidationIssue("rate", "")) == (3, 2)


def test_what_an_option_replaced_has_no_position() -> None:
    """The file is not to blame."""
    replaced = tree()
    replaced["defaults"]["rate"] = -1
    assert position_of(RAW, {}, replaced, ValidationIssue("defaults.rate", "too small")) is None


@pytest.mark.parametrize("raw", [b"\xff", b"a: [", b""])
def test_what_is_no_document_has_no_position(raw: bytes) -> None:
    """Then the reason itself names the place."""
    assert position_of(raw, {}, {}, ValidationIssue("", "x")) is None


def test_a_problem_without_issues_stays_as_it_is() -> None:
    """It speaks of no member."""
    problem = Unreachable("TCP connect", "refused")
    assert with_positions("x.yaml", RAW, problem) is problem


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_load_scenario_names_line_and_column(tmp_path: Path, suffix: str) -> None:
    """Of each mistake, in YAML and in JSON; of a mapping there is none."""
    written = {
        "name": "up",
        "signal_type": "metrics",
        "rate": "fast",
        "generator": {"type": "constant", "value": 1},
        "nmae": "x",
    }
    path = tmp_path / f"demo.{suffix}"
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in written.items())
    path.write_text(text if suffix == "yaml" else json.dumps(written, indent=2))
    rate, name = ("3:1", "5:1") if suffix == "yaml" else ("4:3", "9:3")
    problem = sonda.load_scenario(path).failure()
    assert str(problem).split("; ") == [
        f"{path}:{rate}: rate: expected a number, got a string",
        f"{path}:{name}: unknown field 'nmae' (did you mean 'name'?)",
    ]
    assert problem == sonda.load_scenario(written).failure()
    assert str(path) not in str(sonda.load_scenario(written).failure())


def test_a_placeholder_that_is_not_set_is_found(tmp_path: Path) -> None:
    """Although nothing could be compiled."""
    path = tmp_path / "demo.yaml"
    path.write_text("name: up\nrate: '${NOBODY_SETS_THIS}'\n")
    assert str(sonda.load_scenario(path).failure()).startswith(f"{path}:2:1: rate: the environment")
