"""On which line of a scenario's file an issue stands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml
from returns.result import Success

from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.scenarios.reading import read_file

_STEP: Final = re.compile(r'\.?([^.\[\]]+)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]')
_UNKNOWN: Final = re.compile(r"unknown field '([^']*)'")
_ABSENT: Final = object()


def line_of(raw: bytes, tree: Mapping[str, Any], issue: ValidationIssue) -> int | None:
    """Return the line, from 1, of what *issue* finds wrong in *raw*, which became *tree*.

    There is none where no YAML can be read, or where an option of the command line replaced what
    stands in the file. The line of something that is missing is where its object begins.
    """
    written = read_file(raw, os.environ)
    try:
        node = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return None
    if node is None or not isinstance(written, Success):
        return None
    steps = [_step(found) for found in _STEP.finditer(issue.path)]
    if unknown := _UNKNOWN.match(issue.reason):
        steps.append(unknown[1])
    if _value_at(written.unwrap().tree, steps) != _value_at(tree, steps):
        return None
    line: int = node.start_mark.line
    for step in steps:
        found = _inner(node, step)
        if found is None:
            break
        line, node = found
    return line + 1


def _step(found: re.Match[str]) -> str | int:
    name, place, quoted = found.groups()
    return str(json.loads(quoted)) if quoted else int(place) if place else name


def _value_at(tree: object, steps: list[str | int]) -> object:
    """Return what stands at *steps*, or something of its own where nothing does."""
    for step in steps:
        match tree:
            case Mapping() if step in tree:
                tree = tree[step]
            case list() if isinstance(step, int) and step < len(tree):
                tree = tree[step]
            case _:
                return _ABSENT
    return tree


def _inner(node: Any, step: str | int) -> tuple[int, Any] | None:
    """Return the line and the node of a name or a place in *node*, if it is there."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None
