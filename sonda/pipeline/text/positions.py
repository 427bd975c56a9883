"""Where in a text a member of a document stands: from a path such as `log.severity` to line and column.

A member is found by its name, an element of a list by its first character. Of a path that leads
nowhere the last member that is there counts, so something that is missing stands where its object
begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

Step: TypeAlias = str | int

_STEP: Final = re.compile(r'\.?([^.\[\]]+)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]')
_NAMED: Final = re.compile(r"""(?:unknown|missing) field (['"])(.*?)\1""")
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder(strict=False)
_ABSENT: Final = object()


class Position(NamedTuple):
    """A place in a text; lines and columns are counted from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


def steps_of(path: str, reason: str = "") -> list[Step]:
    """Return the names and places of which *path* consists.

    A field that is unknown or missing is named by *reason*.
    """
    steps: list[Step] = []
    for name, place, quoted in _STEP.findall(path):
        steps.append(str(json.loads(quoted)) if quoted else int(place) if place else name)
    if named := _NAMED.match(reason):
        steps.append(named[2])
    return steps


def value_at(tree: object, steps: Sequence[Step]) -> object:
    """Return what stands at *steps*, or an object that equals nothing else where nothing does."""
    for step in steps:
        match tree:
            case Mapping() if step in tree:
                tree = tree[step]
            case list() if isinstance(step, int) and step < len(tree):
                tree = tree[step]
            case _:
                return _ABSENT
    return tree


def at_offset(text: str, offset: int) -> Position:
    """Return the position of a character."""
    return Position(text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


def in_json(text: str, start: int, steps: Sequence[Step]) -> Position:
    """Return the position of a member of the value that begins at *start* in a JSON text."""
    found = value = start
    for step in steps:
        try:
            inner = next((places for name, *places in _members(text, value) if name == step), None)
        except (IndexError, ValueError, RecursionError):  # it is no JSON
            break
        if inner is None:
            break
        found, value = inner
    return at_offset(text, found)


def _members(text: str, start: int) -> Iterator[tuple[Step, int, int]]:
    """Yield name or place, where the member begins, and where its value does; raise `ValueError`."""
    closing = {"{": "}", "[": "]"}.get(text[start])
    if closing is None:
        return
    at, number = _skip(text, start + 1), 0
    while text[at] != closing:
        step, value = number, at
        if closing == "}":
            name, end = _DECODER.raw_decode(text, at)
            value = _skip(text, _skip(text, end) + 1)
            yield str(name), at, value
        else:
            yield step, at, value
        _, end = _DECODER.raw_decode(text, value)
        at, number = _skip(text, end), number + 1
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    return blanks.end() if blanks else start
