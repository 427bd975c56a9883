"""Where in a scenario's file an issue stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from returns.result import Success

from sonda.pipeline.problems import Invalid, Malformed, Problem, ValidationIssue
from sonda.pipeline.scenarios.reading import is_json, read_file
from sonda.pipeline.text.positions import Position, Step, in_json, steps_of, value_at


def position_of(
    raw: bytes, environ: Mapping[str, str], tree: Mapping[str, Any], issue: ValidationIssue
) -> Position | None:
    """Return the position of what *issue* finds wrong in *raw*, which became *tree*.

    There is none where *raw* cannot be read, or where an option of the command line replaced what
    stands in the file. Something that is missing stands where its object begins.
    """
    written = read_file(raw, environ)
    steps = steps_of(issue.path, issue.reason)
    if isinstance(written, Success):
        as_written = written.unwrap().tree
        if value_at(as_written, steps) != value_at(tree, steps):
            return None
    return _finder(raw)(steps)


def with_positions(name: str, raw: bytes, problem: Problem) -> Problem:
    """Return *problem*, each issue with where in the file *name* it stands."""
    if not isinstance(problem, (Malformed, Invalid)):
        return problem
    find = _finder(raw)  # a text is read once, however many issues it has
    found = ((issue, find(steps_of(issue.path, issue.reason))) for issue in problem.issues)
    issues = (
        issue if position is None else replace(issue, where=f"{name}:{position}")
        for issue, position in found
    )
    return replace(problem, issues=tuple(issues))


def _finder(raw: bytes) -> Callable[[Sequence[Step]], Position | None]:
    """Return what finds a member's position in *raw*; it finds none where that is no document."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _find_none
    if is_json(raw):
        return partial(in_json, text, len(text) - len(text.lstrip()))
    from sonda.pipeline.text.yaml_positions import compose_yaml, in_yaml

    nodes = compose_yaml(text)
    return partial(in_yaml, nodes[0]) if nodes else _find_none


def _find_none(_: Sequence[Step]) -> None:
    return None
