"""A path leads to a line and a column of a JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.text.escape import at
from sonda.pipeline.text.positions import at_offset, in_json, steps_of, value_at

TEXT = """\
  {"log":
    {"severity": "x", "a\\"b": [1, {"c": "}"}]},
  "é": "ü", "labels": {}}
"""


@pytest.mark.parametrize(
    ("path", "reason", "position"),
    [
        ("", "missing field 'sink'", (1, 3)),
        ("log", "", (1, 4)),
        ("log.severity", "", (2, 6)),
        ('log["a\\"b"][1].c', "", (2, 36)),
        ("labels", "unknown field 'x'", (3, 13)),
        ("", "unknown field 'labels'", (3, 13)),
        ("log.nothing.more", "", (1, 4)),
        ("log.severity.more", "", (2, 6)),
        ("log[7]", "", (1, 4)),
    ],
)
def test_a_member_is_found(path: str, reason: str, position: tuple[int, int]) -> None:
    """By its name; what is not there stands where its object does."""
    assert in_json(TEXT, 2, steps_of(path, reason)) == position


def test_what_is_no_json_ends_the_way() -> None:
    """The members before count."""
    assert in_json('{"a": {"b": 1, "c" 2', 0, ["a", "d"]) == (1, 2)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.integers())
)
def test_a_path_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    """Whatever a name consists of, but one that a path cuts."""
    text = json.dumps({"x": document}, indent=1)
    for name, value in document.items():
        steps = steps_of(at("x", name))
        assert steps == ["x", name]
        assert value_at({"x": document}, steps) == value
        line, column = in_json(text, 0, steps)
        assert text.splitlines()[line - 1][column - 1 :].startswith(json.dumps(name))


def test_columns_begin_anew_on_each_line() -> None:
    """And both are counted from 1."""
    assert [at_offset("a\nbc", offset) for offset in range(4)] == [(1, 1), (1, 2), (2, 1), (2, 2)]
