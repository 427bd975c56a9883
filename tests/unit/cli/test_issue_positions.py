"""An issue is found in the file of its event, or in `sonda.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonda.cli.destinations import Destination
from sonda.cli.issue_positions import EventPlace, EventsText, find_in_config
from sonda.pipeline.problems import ValidationIssue

JSON = """{"labels": {}}
{"log": {},
 "labels": {"a-b": 1}}
"""
YAML = """
---
labels: {}
---
- log: {}
- log: {}
  labels:
    a-b: 1
"""
EVENT = {"log": {}, "labels": {"a-b": 1}}
CONFIG = """
[destinations.x]
sink = { type = "loki" }
labels.a-b = 1
verify_url = 3
"""
TO = Destination({"type": "loki"}, named="x", labels={"a-b": 1}, verify_url=3)  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize(
    ("path", "reason", "in_json", "in_yaml"),
    [
        ("labels.a-b", "", "3:13", "8:5"),
        ("labels", "missing field 'x'", "3:2", "7:3"),
        ("", "missing field 'sink'", "2:1", "6:3"),
    ],
)
def test_it_is_found_in_the_events_file(path: str, reason: str, in_json: str, in_yaml: str) -> None:
    """Whichever of the events it is."""
    issue = ValidationIssue(path, reason)
    json = EventPlace(EventsText("x.json", JSON, is_yaml=False), JSON.index('{"log"'))
    yaml = EventPlace(EventsText("x.yaml", YAML, is_yaml=True), 2)
    assert json.find(EVENT, EVENT, issue) == f"x.json:{in_json}"
    assert yaml.find(EVENT, EVENT, issue) == f"x.yaml:{in_yaml}"
    replaced: dict[str, dict[str, object]] = {"labels": {}, "sink": {}}
    is_there = reason == "missing field 'x'"
    assert json.find(EVENT, replaced, issue) == (f"x.json:{in_json}" if is_there else "")


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ("sink", "3:1"),
        ("sink.type", "3:10"),
        ("labels.a-b", "4:1"),
        ("verify.url", "5:1"),
        ("encoder.type", None),
        ("log.severity", None),
    ],
)
def test_it_is_found_in_the_configuration(tmp_path: Path, path: str, position: str | None) -> None:
    """If the file has what was used."""
    file = tmp_path / "sonda.toml"
    file.write_text(CONFIG)
    to = Destination(
        TO.sink, {"type": "x"}, named="x", labels=TO.labels, verify_url=TO.verify_url, file=file
    )
    found = find_in_config(to, ValidationIssue(path, ""))
    assert found == ("" if position is None else f"{file}:{position}")


@pytest.mark.parametrize("text", ["", "[", "[destinations.x]\nsink.type = 'tcp'"])
def test_a_file_that_has_changed_is_not_to_blame(tmp_path: Path, text: str) -> None:
    """Nor one that is gone, or a destination that no file names."""
    file = tmp_path / "sonda.toml"
    issue = ValidationIssue("sink.type", "")
    to = Destination(TO.sink, named="x", file=file)
    assert find_in_config(to, issue) == ""
    file.write_text(text)
    assert find_in_config(to, issue) == ""
    assert find_in_config(TO, issue) == ""
