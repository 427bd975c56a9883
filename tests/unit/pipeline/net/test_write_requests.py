"""A write begins or is withdrawn, and its verdict reaches whoever waits."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import cast

import pytest
from returns.result import Failure, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.interruption import what_became
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.blocking_writers import WriteQueue
from sonda.pipeline.net.write_requests import Verdict, Writer, WriteRequest, deliver_results
from sonda.pipeline.problems import OutcomeUnknown, Unreachable
from tests.support.virtual_time import run_virtually

YES: Verdict = Success(Ack(Confirmed.HANDED_OFF))


@dataclass
class Line:
    """A queue that a request has left, or has not."""

    has_begun: bool

    def withdraw(self, _request: WriteRequest) -> bool:
        return not self.has_begun


class There:
    """A destination."""

    target = "here"


def request(*, has_begun: bool = False) -> WriteRequest:
    made = WriteRequest(cast("Writer", There()), b"x", 7)
    made.queue = cast("WriteQueue", Line(has_begun))
    made.attach()
    return made


@pytest.mark.parametrize(
    ("has_begun", "problem"),
    [
        (False, Unreachable("write to here", "timed out after 3s")),
        (True, OutcomeUnknown("here", "within 3s", 7)),
    ],
)
def test_a_deadline_withdraws_what_has_not_begun(
    has_begun: bool, problem: Unreachable | OutcomeUnknown
) -> None:
    """What has begun will be finished, however long it takes: nobody knows."""

    async def main() -> Verdict:
        return await request(has_begun=has_begun).verdict(Deadline.within(3))

    assert run_virtually(main()) == Failure(problem)


@pytest.mark.parametrize(("has_begun", "kind"), [(False, Unreachable), (True, OutcomeUnknown)])
def test_a_cancellation_says_what_became_of_it(has_begun: bool, kind: type) -> None:
    """As the deadline does."""

    async def main() -> object:
        waiting = asyncio.create_task(request(has_begun=has_begun).verdict(Deadline.within(3)))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await waiting
        return what_became(cut_off.value)

    assert isinstance(run_virtually(main()), kind)


def test_a_verdict_is_told_from_a_thread() -> None:
    """One call wakes all who wait in a loop; what comes too late is dropped."""

    async def main() -> list[Verdict]:
        requests = [request() for _ in range(3)]
        waiting = [asyncio.create_task(one.verdict(Deadline.within(30))) for one in requests]
        await asyncio.sleep(0)
        thread = threading.Thread(target=deliver_results, args=(requests, YES))
        thread.start()
        verdicts = await asyncio.gather(*waiting)
        thread.join()
        requests[0].deliver_result()
        return list(verdicts)

    assert asyncio.run(main()) == [YES] * 3


def test_a_bug_is_raised_where_it_is_awaited() -> None:
    """Not in the thread, where nobody hears of it."""

    async def main() -> None:
        waiting = request()
        deliver_results([waiting], ZeroDivisionError())
        await waiting.verdict(Deadline.within(3))

    with pytest.raises(ZeroDivisionError):
        run_virtually(main())


def test_a_loop_that_is_closed_is_told_nothing() -> None:
    """Its program has gone on."""

    async def main() -> WriteRequest:
        return request()

    deliver_results([asyncio.run(main())], YES)
