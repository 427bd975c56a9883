"""A path leads to a line and a column of a YAML text."""

from __future__ import annotations

import pytest

from sonda.pipeline.text.yaml_positions import compose_yaml, in_yaml

TEXT = """\
a: {b: 1, "c d": [x, y]}
---
- e: 2
  f:
    g: 3
"""


@pytest.mark.parametrize(
    ("document", "steps", "position"),
    [
        (0, ["a", "b"], (1, 5)),
        (0, ["a", "c d", 1], (1, 22)),
        (0, ["a", "c d", 2], (1, 11)),
        (1, [0, "f", "g"], (5, 5)),
        (1, [0, "h"], (3, 3)),
        (1, ["x"], (3, 1)),
    ],
)
def test_a_member_is_found(
    document: int, steps: list[str | int], position: tuple[int, int]
) -> None:
    """By its name, an element by its place."""
    assert in_yaml(compose_yaml(TEXT)[document], steps) == position


@pytest.mark.parametrize("text", ["", "a: [", "\x00"])
def test_what_is_no_yaml_has_no_documents(text: str) -> None:
    """Its reader says why."""
    assert compose_yaml(text) == []
