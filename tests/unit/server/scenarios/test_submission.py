"""What a worker tells the runner of a caller."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sonda.pipeline.policy.callers import Caller
from sonda.server.config import Source
from sonda.server.scenarios.submission import Submission, viewer_headers, viewer_of


@pytest.mark.parametrize("name", ["", "team-a", "ü \u2028\r\nX: y", "\ud800"])
def test_a_restricted_caller_is_found_again(name: str) -> None:
    """Whatever its key is called: a header holds ASCII on one line."""
    headers = viewer_headers(Caller(name, frozenset({"prod"})))
    [value] = headers.values()
    assert value.isascii()
    assert value.isprintable()
    assert viewer_of({key.lower(): value for key, value in headers.items()}) == name


def test_an_unrestricted_caller_sees_all() -> None:
    """It says nothing of itself."""
    assert viewer_headers(Caller("admin")) == {}
    assert viewer_of({}) is None
    assert viewer_of({"sonda-owner": '""'}) == ""


def test_a_submission_travels_and_shows_no_secret() -> None:
    """Pickled between processes of one server; its `repr` has neither document nor configuration."""
    source = Source(api_key="sesame", path=Path("x"))
    sent = Submission(b"secret: sesame", "text/yaml", Caller("a"), source, "run-1")
    assert pickle.loads(pickle.dumps(sent)) == sent  # noqa: S301  # our own
    assert "sesame" not in repr(sent)
