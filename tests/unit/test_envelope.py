"""The bytes of an answer."""

from __future__ import annotations

import json

import pytest

from sonda.envelope import CODES, envelope


@pytest.mark.parametrize("status", CODES)
def test_one_shape(status: int) -> None:
    """Each refusal has the same two fields and one line."""
    body = envelope(status, 'a "quoted" detail')
    assert body.endswith(b"}\n")
    assert json.loads(body) == {"error": CODES[status], "detail": 'a "quoted" detail'}
