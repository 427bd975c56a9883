"""What a status of the API means for an event, and what a person may read of it."""

from __future__ import annotations

import pytest

from sonda.cli.outcomes import Exit, Outcome, answered, exit_status, redact, redacted, worst
from sonda.envelope import CODES

INVALID = frozenset(CODES) - {200, 408, 500, 502, 503, 504}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Exit.DELIVERED),
        *((status, Exit.REJECTED) for status in (408, 502, 503)),
        *((status, Exit.INVALID) for status in sorted(INVALID)),
        *((status, Exit.UNKNOWN) for status in (100, 201, 204, 299, 302, 418, 500, 504, 599)),
    ],
)
def test_a_status(status: int, expected: Exit) -> None:
    """Only a 200 is a delivery, and what the API never says tells nothing."""
    assert exit_status(status) is expected


@pytest.mark.parametrize(
    ("status", "error", "line", "is_events_fault"),
    [
        (422, "unprocessable_content", "invalid: why", True),
        (400, "bad_request", "invalid: why", True),
        (413, "content_too_large", "invalid: why", True),
        (403, "forbidden", "invalid: why", False),
        (502, "bad_gateway", "rejected: why", False),
        (504, "gateway_timeout", "unknown: why", False),
        (418, "unexpected_answer", "unknown: why", False),
    ],
)
def test_an_answer(status: int, error: str, line: str, is_events_fault: bool) -> None:
    """Who is at fault decides whether the event is ever to be sent again."""
    outcome = answered(status, "why")
    assert outcome.answer == {"error": CODES.get(status, error), "detail": "why"}
    assert (outcome.line, outcome.is_events_fault) == (line, is_events_fault)


@pytest.mark.parametrize(
    ("exits", "expected"),
    [
        ((), Exit.DELIVERED),
        ((Exit.DELIVERED, Exit.INVALID), Exit.INVALID),
        ((Exit.INVALID, Exit.UNSEEN), Exit.UNSEEN),
        ((Exit.UNSEEN, Exit.REJECTED), Exit.REJECTED),
        ((Exit.REJECTED, Exit.UNKNOWN, Exit.INVALID), Exit.UNKNOWN),
    ],
)
def test_several_events(exits: tuple[Exit, ...], expected: Exit) -> None:
    """Unknown is worse than rejected, that than unseen, and that than invalid."""
    assert worst(Outcome(one, {}, "") for one in exits) is expected


SECRETS = {"env:URL": "https://u:pass-word@hooks.example/a/path?token=1", "env:KEY": 'ke"y\n12'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to https://u:pass-word@hooks.example/a/path?token=1", "to env:URL"),
        ("to https://***@hooks.example/a/path?token=1", "to env:URL"),
        ("POST /a/path?token=1 HTTP/1.1", "POST env:URL HTTP/1.1"),
        ("GET /a/path HTTP/1.1", "GET env:URL HTTP/1.1"),
        ('a ke"y\n12 b', "a env:KEY b"),
        ('a ke\\"y\\n12 b', "a env:KEY b"),
        ("hooks.example", "hooks.example"),
    ],
)
def test_a_secret(text: str, expected: str) -> None:
    """Its name stands wherever its value would: whole, without its login, and escaped."""
    assert redact(text, SECRETS) == expected


def test_every_text_of_an_outcome() -> None:
    """At any depth of the answer, in the line, the warnings and the details."""
    secret = "a-long-secret"
    outcome = Outcome(
        Exit.REJECTED, {"detail": [secret, {"a": secret}], "n": 1}, secret, (secret,), (secret,)
    )
    shown = redacted(outcome, {"env:S": secret})
    assert shown == Outcome(
        Exit.REJECTED,
        {"detail": ["env:S", {"a": "env:S"}], "n": 1},
        "env:S",
        ("env:S",),
        ("env:S",),
    )
    assert redacted(outcome, {}) is outcome
