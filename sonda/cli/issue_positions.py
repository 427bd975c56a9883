"""In which file, on which line and in which column an issue of an event stands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.text.positions import Position, at_offset, in_json, steps_of, value_at

if TYPE_CHECKING:
    from sonda.cli.destinations import Destination
    from sonda.pipeline.text.positions import Step


class EventsText:
    """The text of a file of events."""

    def __init__(self, name: str, text: str, *, is_yaml: bool) -> None:
        self.name = name
        self._text = text
        self._is_yaml = is_yaml

    @cached_property
    def _nodes(self) -> list[Any]:
        from sonda.pipeline.text.yaml_positions import compose_events

        return compose_events(self._text)

    def at(self, offset: int) -> Position:
        """Return the position of a character."""
        return at_offset(self._text, offset)

    def find(self, event: int, steps: list[Step]) -> Position:
        """Return the position of a member of an event.

        *event* is where the event begins in JSON, and how many events stand before it in YAML.
        """
        if not self._is_yaml:
            return in_json(self._text, event, steps)
        from sonda.pipeline.text.yaml_positions import in_yaml

        return in_yaml(self._nodes[event], steps)


class EventPlace:
    """Where an event stands: in *source*, as the *event*th or at that offset."""

    __slots__ = ("event", "source")

    def __init__(self, source: EventsText, event: int) -> None:
        self.source = source
        self.event = event

    def find(
        self, written: Mapping[str, Any], sent: Mapping[str, Any], issue: ValidationIssue
    ) -> str:
        """Return the place of an issue of *sent*, which was made of what is *written*.

        It is empty where an option replaced what is written.
        """
        steps = steps_of(issue.path, issue.reason)
        if value_at(written, steps) != value_at(sent, steps):
            return ""
        return f"{self.source.name}:{self.source.find(self.event, steps)}"


def find_in_config(to: Destination, issue: ValidationIssue) -> str:
    """Return the place of an issue of a named destination in its `sonda.toml`.

    It is empty where the file does not have it, or an option replaced what it has.
    """
    import tomllib

    from sonda.pipeline.text.toml_positions import TomlPositions

    if to.file is None or to.named is None:
        return ""
    used = {
        "sink": to.sink,
        "encoder": to.encoder,
        "labels": to.labels,
        "verify_url": to.verify_url,
    }
    steps = steps_of(issue.path.replace("verify.url", "verify_url", 1), issue.reason)
    if not steps or steps[0] not in used:
        return ""
    try:
        text = to.file.read_text(encoding="utf-8")
        table = value_at(tomllib.loads(text), ["destinations", to.named])
    except (OSError, ValueError):  # it is another one by now
        return ""
    if value_at(used, steps) != value_at(table, steps):
        return ""
    return f"{to.file}:{TomlPositions(text).find(['destinations', to.named, *steps])}"
