"""Which caller a key makes, and what that one may use."""

from __future__ import annotations

from sonda.pipeline.policy.callers import (
    ANYBODY,
    ApiKey,
    Caller,
    caller_of,
    nothing_configured,
)
from sonda.pipeline.problems import Forbidden

STAGE = Caller("stage", frozenset({"grafana"}))
KEYS = [ApiKey("one", Caller("one")), ApiKey("schlüssel", STAGE)]


def test_a_key_is_found_by_its_bytes() -> None:
    """In UTF-8, and whole."""
    assert caller_of(KEYS, b"one") == Caller("one")
    assert caller_of(KEYS, "schlüssel".encode()) == STAGE
    for wrong in (b"", b"on", b"ones", b"ONE", "schlüssel".encode("latin-1")):
        assert caller_of(KEYS, wrong) is None


def test_a_caller_with_a_list_is_held_to_it() -> None:
    """It may write no sink of its own."""
    assert STAGE.may_use("grafana")
    assert not STAGE.may_use("loki")
    refused = STAGE.judge_inline()
    assert isinstance(refused, Forbidden)
    assert "named destinations alone" in str(refused)


def test_anybody_may_use_anything() -> None:
    """Where nothing is listed."""
    assert ANYBODY.may_use("anything")
    assert ANYBODY.judge_inline() is None
    assert not Caller("nobody", frozenset()).may_use("anything")
    assert nothing_configured() == {}


def test_a_key_is_not_shown() -> None:
    """Neither in a log nor in a traceback."""
    assert "schlüssel" not in repr(KEYS[1])
