"""How events leave the command line: in requests of a bounded size, and with a verdict each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from sonda.cli import sending
from sonda.cli.addressing import Addressed
from sonda.cli.outcomes import Exit, Outcome
from sonda.cli.sending import Emission, Senders, _pieces, examine
from tests.support.bodies import LOG, changed

DELIVERED = Outcome(Exit.DELIVERED, {"sent": True}, "delivered")


def events(*messages: str) -> list[Addressed]:
    return [Addressed({"m": message, "timestamp": f"t-{message}"}, "there") for message in messages]


def test_a_request_holds_so_many_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, none twice, and no request is empty."""
    monkeypatch.setattr(sending, "EVENTS_A_REQUEST", 3)
    assert list(_pieces(events(*"abcdefg"))) == [range(3), range(3, 6), range(6, 7)]
    assert list(_pieces(events(*"abc"))) == [range(3)]


def test_a_request_holds_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted as they travel, in UTF-8; an event that is larger goes alone."""
    monkeypatch.setattr(sending, "BYTES_A_REQUEST", 250)
    assert list(_pieces(events("€" * 30, "€" * 30, "é"))) == [range(1), range(1, 3)]
    assert list(_pieces(events("a", "b" * 999, "c"))) == [range(1), range(1, 2), range(2, 3)]


@asynccontextmanager
async def in_requests(sent: list[list[str]], ends_at: int) -> AsyncIterator[Senders]:
    async def one(addressed: Addressed) -> Outcome:
        raise AssertionError(addressed)

    async def many(some: Sequence[Addressed]) -> Sequence[Outcome]:
        sent.append([addressed.event["m"] for addressed in some])
        if len(sent) == ends_at:
            raise KeyboardInterrupt
        return [DELIVERED] * len(some)

    yield Senders(one, many)


def test_an_interruption_leaves_no_event_without_a_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was on its way is unknown and has its time; what had not been sent is rejected."""
    monkeypatch.setattr(sending, "EVENTS_A_REQUEST", 1)
    emission, sent = Emission(events("a", "b", "c"), {}), list[list[str]]()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(emission.run(in_requests(sent, ends_at=2), 1, int))
    emission.give_up()
    assert sent == [["a"], ["b"]]
    assert [emission.outcomes[place].line for place in range(3)] == [
        "delivered",
        "unknown: interrupted; the event (timestamp t-b) may or may not have been delivered",
        "rejected: interrupted before it was sent",
    ]


def test_secrets_are_hidden_in_verdicts() -> None:
    """Each event's own, wherever they stand."""

    @asynccontextmanager
    async def way() -> AsyncIterator[Senders]:
        async def one(addressed: Addressed) -> Outcome:
            return Outcome(Exit.REJECTED, {"detail": "no s3cret"}, "rejected: no s3cret")

        yield Senders(one)

    emission = Emission([Addressed({}, "there", secrets={"env:KEY": "s3cret"})], {})
    asyncio.run(emission.run(way(), 4, int))
    assert emission.outcomes[0] == Outcome(
        Exit.REJECTED, {"detail": "no env:KEY"}, "rejected: no env:KEY"
    )


def test_what_is_wrong_before_the_sending() -> None:
    """`sonda check` has the verdict of all stages that are pure, the encoder's included."""
    assert examine(Addressed(LOG, "there")).line == "valid"
    unfit = changed(LOG, encoder={"type": "syslog"}, log__fields={"a b": "x"})
    outcome = examine(Addressed(unfit, "there"))
    assert (outcome.exit, outcome.is_events_fault) == (Exit.INVALID, True)
    assert "is no name for structured data" in outcome.line
