"""When a try is repeated, after which wait, and which verdict all tries have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import AttemptFailure, Delivery, delivering
from sonda.pipeline.interruption import explain, outcomes_of_group, what_became
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.retry import (
    Outcome,
    Retry,
    deliver_many_with_retries,
    deliver_with_retries,
    wait_before_next,
)
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from tests.support.virtual_time import run_virtually

ACK = Ack(Confirmed.ACCEPTED)
YES: Outcome = Success(ACK)
UNREACHABLE = Unreachable("connect to a:1", "Connection refused")
UNKNOWN = OutcomeUnknown("a:1", "(Broken pipe)", 1)
REFUSED = Refused("a:1", "400 Bad Request")
RETRY = Retry(max_attempts=3, initial_backoff="1s", max_backoff="4s")


def failed(problem: Unreachable | OutcomeUnknown | Refused, wait_s: float | None = None) -> Outcome:
    retryable = problem is not REFUSED
    return Failure(AttemptFailure(problem, retryable=retryable, wait_s=wait_s))


def verdict_of(*outcomes: Outcome, retry: Retry | None = RETRY, within_s: float = 100) -> object:
    """Return the verdict on tries that come to *outcomes*, and how many there were."""
    left = list(outcomes)

    async def attempt() -> Outcome:
        return left.pop(0)

    async def main() -> object:
        verdict = await deliver_with_retries(attempt, retry, Deadline.within(within_s))
        return verdict, len(outcomes) - len(left)

    return run_virtually(main())


@pytest.fixture(autouse=True)
def longest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the longest wait each time."""
    monkeypatch.setattr("sonda.pipeline.net.retry.random.uniform", lambda _low, high: high)


def test_a_success_says_how_many_tries_it_took() -> None:
    """One that came at once is not marked."""
    assert verdict_of(YES) == (Success(ACK), 1)
    tried = Success(Ack(Confirmed.ACCEPTED, tries=3))
    assert verdict_of(failed(UNREACHABLE), failed(UNKNOWN), YES) == (tried, 3)


def test_max_attempts_are_further_tries() -> None:
    """Three of them make four in all."""
    assert verdict_of(*[failed(UNREACHABLE)] * 9) == (Failure(UNREACHABLE), 4)
    assert verdict_of(*[failed(UNREACHABLE)] * 9, retry=None) == (Failure(UNREACHABLE), 1)


def test_a_refusal_is_final() -> None:
    """What the destination does not want it does not want the next time."""
    assert verdict_of(failed(REFUSED), YES) == (Failure(REFUSED), 1)


def test_an_unknown_outcome_stays_unknown() -> None:
    """A later try that could not even connect does not make the first one's outcome a no."""
    outcomes = [failed(UNKNOWN), *[failed(UNREACHABLE)] * 3]
    assert verdict_of(*outcomes) == (Failure(UNKNOWN), 4)
    assert verdict_of(failed(UNKNOWN), failed(REFUSED)) == (Failure(UNKNOWN), 2)


@pytest.mark.parametrize(
    ("tries", "asked_s", "wait_s"),
    [(1, None, 1.0), (2, None, 2.0), (3, None, 4.0), (1, 3.0, 3.0), (1, 60.0, 4.0), (1, 0.0, 0.0)],
)
def test_the_wait_doubles_unless_the_destination_asks(
    tries: int, asked_s: float | None, wait_s: float
) -> None:
    """Neither is ever longer than `max_backoff`."""

    async def main() -> float | None:
        delivery = Delivery()
        delivery.tries = tries
        failure = AttemptFailure(UNREACHABLE, retryable=True, wait_s=asked_s)
        return wait_before_next(delivery, failure, RETRY, Deadline.within(100))

    assert run_virtually(main()) == wait_s


def test_a_thousandth_try_waits_no_longer() -> None:
    """The power of two does not leave the range of a float."""

    async def main() -> float | None:
        delivery = Delivery()
        delivery.tries = 5000
        failure = AttemptFailure(UNREACHABLE, retryable=True)
        retry = Retry(max_attempts=10_000, initial_backoff="1ms", max_backoff="2s")
        return wait_before_next(delivery, failure, retry, Deadline.within(100))

    assert run_virtually(main()) == 2.0


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """The verdict comes at once instead: 1 s and 2 s fit into 5, 4 more do not."""
    outcomes = [failed(UNREACHABLE)] * 9
    assert verdict_of(*outcomes, within_s=5) == (Failure(UNREACHABLE), 3)


def test_cut_off_in_a_wait_it_is_what_the_last_try_came_to() -> None:
    """The cancellation's cause says what has become of the event."""

    async def main() -> object:
        async def attempt() -> Outcome:
            return failed(UNKNOWN)

        trying = asyncio.create_task(deliver_with_retries(attempt, RETRY, Deadline.within(100)))
        await asyncio.sleep(0.5)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await trying
        return what_became(cut_off.value)

    assert run_virtually(main()) == UNKNOWN


def test_cut_off_before_its_next_try_has_left_it_is_what_the_last_one_came_to() -> None:
    """The destination said no before: that it was never sent would be a lie."""
    busy = Refused("a:1", "503 Busy", may_be_stored=True)

    async def main() -> object:
        tries: list[None] = []

        async def attempt() -> Outcome:
            tries.append(None)
            if len(tries) == 1:
                return Failure(AttemptFailure(busy, retryable=True))
            try:
                return await asyncio.Future()
            except asyncio.CancelledError as exc:
                explain(exc, Unreachable("connect to a:1", "its delivery was cut off"))
                raise

        trying = asyncio.create_task(deliver_with_retries(attempt, RETRY, Deadline.within(100)))
        await asyncio.sleep(2)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await trying
        return what_became(cut_off.value)

    assert run_virtually(main()) == busy


def test_of_a_group_only_the_failed_go_again() -> None:
    """They go together, after the longest wait that one of them asks for, and keep their places."""
    asked: list[Sequence[str]] = []
    plan = {
        "a": [YES],
        "b": [failed(UNREACHABLE, wait_s=1.0), YES],
        "c": [failed(REFUSED)],
        "d": [failed(UNKNOWN, wait_s=3.0), failed(UNREACHABLE), failed(UNREACHABLE), YES],
    }

    async def attempt(items: Sequence[str]) -> list[Outcome]:
        asked.append(items)
        return [plan[item].pop(0) for item in items]

    async def main() -> tuple[list[Result[Ack, Problem]], list[int], float]:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        deliveries = [Delivery() for _ in plan]
        with delivering(deliveries):
            verdicts = await deliver_many_with_retries(
                attempt, list(plan), RETRY, Deadline.within(100)
            )
        tries = [delivery.tries for delivery in deliveries]
        return verdicts, tries, loop.time() - began_s

    verdicts, tries, took_s = run_virtually(main())
    twice, fourth = Ack(Confirmed.ACCEPTED, tries=2), Ack(Confirmed.ACCEPTED, tries=4)
    assert verdicts == [Success(ACK), Success(twice), Failure(REFUSED), Success(fourth)]
    assert asked == [["a", "b", "c", "d"], ["b", "d"], ["d"], ["d"]]
    assert tries == [1, 2, 1, 4]
    assert took_s == pytest.approx(3.0 + 2.0 + 4.0)


def test_a_group_that_is_cut_off_names_each_outcome() -> None:
    """An event that has its verdict keeps it; one that waits for a try has its last try's."""

    async def attempt(items: Sequence[str]) -> list[Outcome]:
        return [YES, failed(UNREACHABLE, wait_s=3.0)]

    async def main() -> object:
        sending = deliver_many_with_retries(attempt, ["a", "b"], RETRY, Deadline.within(100))
        trying = asyncio.create_task(sending)
        await asyncio.sleep(1)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await trying
        return outcomes_of_group(cut_off.value)

    assert run_virtually(main()) == [Success(ACK), Failure(UNREACHABLE)]
