"""Where in a YAML text each member stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from sonda.pipeline.text.positions import Position, Step
from sonda.pipeline.text.strict_yaml import events_of


def in_yaml(node: yaml.Node, steps: Sequence[Step]) -> Position:
    """Return the position of a member of a node."""
    found, value = node, node
    for step in steps:
        inner = _inner(value, step)
        if inner is None:
            break
        found, value = inner
    return Position(found.start_mark.line + 1, found.start_mark.column + 1)


def _inner(node: yaml.Node, step: Step) -> tuple[Any, Any] | None:
    """Return the nodes of a member's name and value; an element is both."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def compose_yaml(text: str) -> list[yaml.Node]:
    """Return the documents of a YAML text, or none where it cannot be read."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(yaml.compose_all(text, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []


def compose_events(text: str) -> list[yaml.Node]:
    """Return the events of a YAML text: its documents, and the elements of those that are lists."""
    return [event for document in compose_yaml(text) for event in events_of(document)]
