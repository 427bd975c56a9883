"""JSON without spaces, for every text that a Python string can hold."""

from __future__ import annotations

import json

import pytest

from sonda.pipeline.text.compact_json import compact, compact_text


def test_no_spaces() -> None:
    """JSON is as short as it can be, and is UTF-8."""
    assert compact({"a": [1, 2], "ö": None}) == '{"a":[1,2],"ö":null}'.encode()
    assert compact_text({"a": [1, 2], "ö": None}) == '{"a":[1,2],"ö":null}'


@pytest.mark.parametrize("text", ["\ud800", "a\udcff", "\udc80\U0001f600"])
def test_a_lone_surrogate(text: str) -> None:
    """What UTF-8 lacks is escaped, and reads back as it was; as text it stays."""
    assert json.loads(compact({"a": text}).decode()) == {"a": text}
    assert compact_text({"a": text}) == f'{{"a":"{text}"}}'


def test_a_lone_surrogate_as_an_escape() -> None:
    """It has the form that a reader of JSON expects."""
    assert compact({"a": "\ud800"}) == rb'{"a":"\ud800"}'


def test_keys_stay_in_order() -> None:
    """With the exception, too: an answer's keys come in the contract's order."""
    assert compact({"b": 1, "a": "\ud800"}) == rb'{"b":1,"a":"\ud800"}'
