"""The bytes of an answer."""

from __future__ import annotations

import json

import pytest

from sonda.envelope import CODES, compact, envelope


@pytest.mark.parametrize("status", CODES)
def test_one_shape(status: int) -> None:
    """Each refusal has the same two fields and one line."""
    body = envelope(status, 'a "quoted" detail')
    assert body.endswith(b"}\n")
    assert json.loads(body) == {"error": CODES[status], "detail": 'a "quoted" detail'}


def test_no_spaces() -> None:
    """JSON is as short as it can be, and is UTF-8."""
    assert compact({"a": [1, 2], "ö": None}) == '{"a":[1,2],"ö":null}'.encode()


def test_a_lone_surrogate() -> None:
    """What UTF-8 lacks is escaped, and reads back as it was."""
    body = compact({"a": "\ud800"})
    assert body == rb'{"a":"\ud800"}'
    assert json.loads(body) == {"a": "\ud800"}
