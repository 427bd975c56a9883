"""Every table, member and element of a TOML text is found."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sonda.pipeline.text.positions import Step
from sonda.pipeline.text.toml_positions import TomlPositions

ROOT = Path(__file__).parents[4]
TEXT = '''\
# a comment = "x"
top = 1979-05-27T07:32:00Z # and [another]
[destinations.prod]
sink = { type = "loki", url = "http://x/#y", headers = { "a b" = """
]""" } }
labels.env = 'p"r'
"q\\"\\U0001F600" . 'l' = [ 1, # one
  { n = """a\\"""" },
  [],
]
[ destinations . "a.b" ]
on = true
[[list]]
x = 1
[[list]]
x = 2
  [list.inner]
  y = 3
[[list.deep]]
z = 4
'''


def paths(tree: Any, before: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """Yield the path of every member."""
    members = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for step, inner in members:
        yield (*before, step)
        if isinstance(inner, (dict, list)):
            yield from paths(inner, (*before, step))


@pytest.mark.parametrize(
    ("path", "position"),
    [
        (("top",), (2, 1)),
        (("destinations",), (3, 1)),
        (("destinations", "prod", "sink", "url"), (4, 25)),
        (("destinations", "prod", "sink", "headers", "a b"), (4, 58)),
        (("destinations", "prod", "labels", "env"), (6, 1)),
        (("destinations", "prod", 'q"😀', "l", 1, "n"), (8, 5)),
        (("destinations", "prod", 'q"😀', "l", 2), (9, 3)),
        (("destinations", "a.b", "on"), (12, 1)),
        (("list", 0, "x"), (14, 1)),
        (("list", 1, "x"), (16, 1)),
        (("list", 1, "inner", "y"), (18, 3)),
        (("list", 1, "deep", 0, "z"), (20, 1)),
        (("destinations", "prod", "sink", "nothing"), (4, 1)),
        (("nothing",), None),
    ],
)
def test_a_member_is_found(path: tuple[Step, ...], position: tuple[int, int] | None) -> None:
    """By its name; of what is not there, the table in which it is missing."""
    assert TomlPositions(TEXT).find(path) == position


@pytest.mark.parametrize(
    "text", [TEXT, *(path.read_text("utf-8") for path in (ROOT / "pyproject.toml",))]
)
def test_it_finds_what_the_standard_library_reads(text: str) -> None:
    """Each member has a place of its own."""
    positions = TomlPositions(text)
    for path in paths(tomllib.loads(text)):
        found = positions.find(path)
        assert found is not None
        line = text.splitlines()[found.line - 1][found.column - 1 :]
        name = path[-1]
        if isinstance(name, str) and name.isalnum() and not line.startswith("["):
            assert name in line, (path, line)
