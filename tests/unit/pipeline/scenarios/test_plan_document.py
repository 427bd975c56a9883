"""What a dry run shows of a plan."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from sonda.pipeline.net import Network
from sonda.pipeline.scenarios.plan_document import plan_document
from tests.support.extras import needs
from tests.unit.pipeline.scenarios.support import compiled, metric


def shown(*entries: object) -> list[dict[str, Any]]:
    document = plan_document(compiled({"scenarios": list(entries)}).unwrap(), Network())
    found: list[dict[str, Any]] = document["scenarios"]
    return found


def test_the_first_events_as_text() -> None:
    """Five, or as many as there are."""
    few, many = shown(metric(name="a", count=2), metric(name="b"))
    assert [len(one["events"]) for one in (few, many)] == [2, 5]
    assert few["events"][0].startswith("a 1 ")
    assert (few["planned"], many["planned"]) == (2, None)
    assert (few["ends_at_s"], many["ends_at_s"]) == (1, None)
    assert few["preview"]["sink"] == "stdout"


@needs("encoder", "remote_write")
def test_what_is_no_text() -> None:
    """It is base64."""
    sink = {"type": "remote_write", "url": "http://h/"}
    (found,) = shown(metric(count=1, encoder={"type": "remote_write"}, sink=sink))
    assert b"cpu" in b64decode(found["events"][0], validate=True)


def test_what_a_name_was_rewritten_into() -> None:
    """Only where it was."""
    plain, named = shown(metric(name="a"), metric(name="b", generator={"type": "steady"}))
    assert "rewritten" not in plain
    assert named["rewritten"]["generator"]["type"] == "sine"
