"""Files of events are taken apart; a line that cannot be read spoils no other."""

from __future__ import annotations

import json

import pytest
from returns.result import Failure, Success

from sonda.cli.reading import Item, as_read, read_events, read_message
from sonda.pipeline.problems import NotJson

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


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff",
        "é".encode("latin-1"),
        b"\xed\xa0\x80",  # a surrogate
        b"\xc0\xaf",  # longer than it need be
        b"\xe2\x82",  # cut short
        b"\xf5\x80\x80\x80",  # beyond Unicode
    ],
)
@pytest.mark.parametrize(
    ("name", "layout", "line"),
    [
        ("a.jsonl", b'{"a":1}\n%s\n{"a":"\xe2\x82\xac"}\n', 2),
        ("a.ndjson", b'\xef\xbb\xbf{"a":1}\n\n%s\n{"a":2}', 3),
        ("stdin", b'{"a":1}\n%s\n{"a":2}', 2),
        ("a.json", b'[{"a":1},\n%s,\n{"a":2}]', 2),
        ("a.json", b'{"a":1} \n\n%s {"a":2}', 3),
    ],
)
def test_an_event_that_is_not_utf_8_spoils_no_other(
    name: str, layout: bytes, line: int, bad: bytes
) -> None:
    """It is refused by its line, and kept byte for byte."""
    broken = b'{"b":"%s"}' % bad
    first, refused, last = items(name, layout % broken)
    assert isinstance(first.event, Success)
    assert isinstance(last.event, Success)
    assert refused.where == f"{name}:{line}"
    assert refused.event == Failure(NotJson("it is not UTF-8 at byte 6"))
    assert as_read(refused.written) == broken


def test_a_lone_surrogate_of_yaml_can_be_written() -> None:
    """Escaped, as no UTF-8 has it."""
    assert as_read("\ud800€") == b"\\ud800\xe2\x82\xac"


def test_json_with_one_broken_line_is_read_by_lines() -> None:
    """Where one of them is an object."""
    found = items("a.json", '{"a":1}\n{"a"')
    assert [isinstance(one.event, Success) for one in found] == [True, False]


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("a.json", b"\xff", "not UTF-8 at byte 0"),
        ("a.yaml", b"a: 1\n---\na: \xff", "not UTF-8 at byte 12"),
        ("a", b"\xe9", "not UTF-8 at byte 0"),
        ("a.json", b'[{"a":1}, \xff]', "not UTF-8 at byte 10"),
        ("a.jsonl", '{"a":1}\n'.encode("utf-16"), "not UTF-8 at byte 0"),
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
