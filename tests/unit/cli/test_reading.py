"""Files of events are taken apart; a line that cannot be read spoils no other."""

from __future__ import annotations

import json

import pytest
from returns.result import Failure, Success

from sonda.cli.reading import Item, read_events, read_message

NOW_NS = 1_000_000_000


def items(name: str, text: str | bytes) -> list[Item]:
    raw = text.encode() if isinstance(text, str) else text
    found = read_events(name, raw, lambda: NOW_NS)
    assert isinstance(found, Success)
    listed: list[Item] = found.unwrap()
    return listed


@pytest.mark.parametrize(
    ("name", "text", "places"),
    [
        ("a.json", '{"a":1}', ["a.json:1"]),
        ("a.json", '[{"a":1},\n\n{"a":2}]', ["a.json:1", "a.json:3"]),
        ("a.json", '{"a":1}\n{"a":2} {"a":3}', ["a.json:1", "a.json:2", "a.json:2"]),
        ("a.jsonl", '{"a":1}\r\n\r\n{"a":2}\n', ["a.jsonl:1", "a.jsonl:3"]),
        ("a", '\n [\n{"a":1}]', ["a:3"]),
        ("a.yaml", "a: 1\n---\n- a: 2\n- a: 3\n", ["a.yaml:1", "a.yaml:3", "a.yaml:4"]),
        ("-", "a: 1", ["-:1"]),
        ("a.json", '\ufeff{"a":1}', ["a.json:1"]),
        ("a.json", "[]", []),
    ],
)
def test_each_event_knows_where_it_stands(name: str, text: str, places: list[str]) -> None:
    """By its line, in JSON, JSON Lines and YAML."""
    found = items(name, text)
    assert [one.where for one in found] == places
    assert all(isinstance(one.event, Success) for one in found)


def test_an_event_gets_the_time_of_its_reading() -> None:
    """A second try has to be the same event; a time of its own stays."""
    found = items("a.jsonl", '{"a":1}\n{"a":1,"timestamp":"x"}')
    assert json.loads(found[0].written) == {"a": 1, "timestamp": "1970-01-01T00:00:01.000000000Z"}
    assert json.loads(found[1].written)["timestamp"] == "x"


def test_a_line_that_cannot_be_read_stays_as_it_was() -> None:
    """The others are sent."""
    found = items("a.jsonl", '{"a":1}\n{"a":\n[1]\n{"a":2}')
    assert [isinstance(one.event, Success) for one in found] == [True, False, False, True]
    assert found[1].written == '{"a":'


def test_json_with_one_broken_line_is_read_by_lines() -> None:
    """Where one of them is an object."""
    found = items("a.json", '{"a":1}\n{"a"')
    assert [isinstance(one.event, Success) for one in found] == [True, False]


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("a.json", b"\xff", "not UTF-8 at byte 0"),
        ("a.json", b"[1", "not valid JSON"),
        ("a.json", b"[1] 2", "not valid JSON: Extra data"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_taken_apart(name: str, raw: bytes, why: str) -> None:
    """Nothing is sent."""
    found = read_events(name, raw, lambda: NOW_NS)
    assert isinstance(found, Failure)
    assert why in found.failure()


def test_a_message_loses_one_line_feed() -> None:
    """As a shell adds it."""
    assert read_message(b"a\n\n") == "a\n"
    for raw, why in ((b"", "is empty"), (b"\n", "is empty"), (b"a\xff", "not UTF-8 at byte 1")):
        with pytest.raises(ValueError, match=why):
            read_message(raw)
