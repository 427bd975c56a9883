"""How long, and how often, a destination is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused, Verdict
from sonda.pipeline.verify.read_back import Verified, read_back
from tests.support.virtual_time import run_virtually


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses between queries, and do not take them."""
    taken: list[float] = []
    yield_to_others = asyncio.sleep

    async def sleep(pause_s: float) -> None:
        taken.append(pause_s)
        await yield_to_others(0)

    monkeypatch.setattr("sonda.pipeline.verify.read_back.asyncio.sleep", sleep)
    return taken


def outcome(*verdicts: Verdict, timeout_s: float = 60.0) -> Verified:
    """Answer with *verdicts*, one after the other; the last of them hangs if there is no more."""
    answers: Iterator[Verdict] = iter(verdicts)

    async def look() -> Verdict:
        for verdict in answers:
            return verdict
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets its result")

    asked = read_back(look, target="http://loki:3100", timeout_s=timeout_s, limit="5s")
    return run_virtually(asked)


def test_the_first_query_comes_at_once(pauses: list[float]) -> None:
    """No pause before it."""
    assert outcome(SEEN).is_verified
    assert pauses == []


def test_the_pauses_grow_to_half_a_second(pauses: list[float]) -> None:
    """From 50 ms on."""
    assert outcome(*[NOT_SEEN] * 9, SEEN).is_verified
    assert pauses[0] == 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.5


def test_a_query_that_may_be_answered_later_is_repeated(pauses: list[float]) -> None:
    """A 503 while the destination starts, or another line at the event's time."""
    assert outcome(QueryRefused("503"), Different("a", "b"), SEEN).is_verified
    assert len(pauses) == 2


def test_a_refusal_that_is_final_ends_it(pauses: list[float]) -> None:
    """The warning quotes it, and names no time that was not waited for."""
    verified = outcome(QueryRefused("401 no org id", is_final=True), SEEN)
    assert verified == Verified(
        None,
        "the event was acknowledged, but not read back from http://loki:3100: "
        "the query failed: 401 no org id",
    )
    assert pauses == []


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (NOT_SEEN, ""),
        (Different("a", "b"), ': found "b" at its time, expected "a"'),
        (QueryRefused("503 starting"), ": the query failed: 503 starting"),
    ],
)
def test_what_was_seen_last_is_the_reason(pauses: list[float], last: Verdict, end: str) -> None:
    """When the time is up, the last answer says why; a query that hangs does not outlast it."""
    verified = outcome(last, timeout_s=0.01)
    assert not verified.is_verified
    assert verified.warning == (
        f"the event was acknowledged, but not read back from http://loki:3100 within 5s{end}"
    )


def test_without_time_nothing_is_asked() -> None:
    """A deadline that is over leaves the event acknowledged, and not verified."""
    assert not outcome(NOT_SEEN, timeout_s=-1.0).is_verified
