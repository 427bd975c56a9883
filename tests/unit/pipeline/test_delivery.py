"""One event's delivery: what its tries come to, and who hears of it."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from returns.result import Failure, Result, Success

from sonda.http_answers import resend_is_safe
from sonda.observe.metrics import Metrics
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import UNDER_WAY, AttemptFailure, Delivery, delivering
from sonda.pipeline.model import Ack, Confirmed, Log, Receipt
from sonda.pipeline.observer import Observer
from sonda.pipeline.problems import (
    Forbidden,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from tests.support.bodies import LOG, raw
from tests.support.mock_http import MockHttp

LOKI = {"type": "loki", "url": "http://loki"}
UNKNOWN = OutcomeUnknown("http://loki", "(Broken pipe)", 7)
REFUSED = Refused("http://loki", "503 Busy")


class Witness(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Delivery, Result[Receipt, Problem]]] = []

    def finished(self, delivery: Delivery, outcome: Result[Receipt, Problem]) -> None:
        self.heard.append((delivery, outcome))

    @property
    def outcomes(self) -> list[str]:
        return [
            "delivered" if isinstance(outcome, Success) else type(outcome.failure()).__name__
            for _, outcome in self.heard
        ]


def test_unknown_once_is_unknown() -> None:
    """A later refusal does not say that the first try did not arrive."""
    delivery = Delivery()
    delivery.failed(AttemptFailure(UNKNOWN))
    delivery.failed(AttemptFailure(REFUSED))
    assert delivery.given_up(AttemptFailure(REFUSED)) == Failure(UNKNOWN)
    assert delivery.unfinished("stopped") == UNKNOWN


def test_a_yes_says_more_than_an_unknown_try() -> None:
    """The destination has the event, after so many tries."""
    delivery = Delivery()
    delivery.failed(AttemptFailure(UNKNOWN))
    delivery.tries = 2
    assert delivery.acknowledged(Ack(Confirmed.ACCEPTED)) == Success(Ack(Confirmed.ACCEPTED, 2))


def test_forbidden_after_something_was_sent_is_a_failure_like_others() -> None:
    """A 403 would say that nothing was sent."""
    delivery = Delivery()
    delivery.failed(AttemptFailure(REFUSED))
    delivery.failed(AttemptFailure(Forbidden("destination a:1 is own"), reached=False))
    assert delivery.failure is not None
    assert delivery.failure.problem == Unreachable("connect again", "destination a:1 is own")


def test_what_has_not_begun_was_not_sent() -> None:
    """Without a try nothing has left."""
    assert Delivery().unfinished("stopped") == Unreachable("send", "stopped")


def test_a_worst_try_is_kept() -> None:
    """A refusal that leaves a doubt is not forgotten when a later one leaves none."""
    delivery = Delivery()
    doubtful = Refused("http://loki", "503 Busy", may_be_stored=True)
    delivery.failed(AttemptFailure(doubtful))
    delivery.failed(AttemptFailure(Refused("http://loki", "400 Bad")))
    assert delivery.may_be_stored


def test_a_destination_that_said_no_has_been_reached() -> None:
    """That a later try could not connect does not mean that nothing was ever sent."""
    delivery = Delivery()
    unreached = Unreachable("connect to a:1", "Connection refused")
    first = delivery.failed(AttemptFailure(unreached, reached=False)).problem
    assert isinstance(first, Unreachable)
    assert not first.after_refusal
    delivery.failed(AttemptFailure(Refused("http://loki", "503 Busy", may_be_stored=True)))
    last = delivery.failed(AttemptFailure(unreached, reached=False))
    assert isinstance(last.problem, Unreachable)
    assert last.problem.after_refusal
    assert delivery.failure is last
    assert not resend_is_safe(last.problem, delivery)
    assert resend_is_safe(first, Delivery())


def test_a_refusal_for_now_and_then_nobody_is_safe_to_resend() -> None:
    """A 429 speaks of the event: it was not stored; it was sent all the same."""
    delivery = Delivery()
    delivery.failed(AttemptFailure(Refused("http://loki", "429 Slow down")))
    last = delivery.failed(AttemptFailure(Unreachable("connect to a:1", "x"))).problem
    assert resend_is_safe(last, delivery)


def test_a_task_sees_its_own_delivery_alone() -> None:
    """Side by side, and after the block, nobody sees another's."""

    async def look(delivery: Delivery) -> bool:
        with delivering((delivery,)):
            await asyncio.sleep(0)
            return UNDER_WAY.get() == (delivery,)

    async def main() -> list[bool]:
        return await asyncio.gather(*(look(Delivery()) for _ in range(3)))

    assert asyncio.run(main()) == [True] * 3
    assert UNDER_WAY.get() == ()


def answer(request: httpx.Request) -> httpx.Response:
    """Refuse the event `bad`, in company and alone."""
    return httpx.Response(400 if b"bad" in request.content else 204)


def body(message: str) -> bytes:
    """Write a log event to Loki."""
    return raw({**LOG, "sink": LOKI, "log": {**LOG["log"], "message": message}})


def test_every_event_is_heard_of_whoever_hands_it_in() -> None:
    """One by one, as bodies of a batch, or below JSON: each has one outcome."""
    witness, metrics = Witness(), Metrics()

    async def main() -> None:
        for observer in (witness, metrics):
            async with Pipeline(observer=observer) as pipeline:
                pipeline._network.http = MockHttp(answer)
                await pipeline.deliver(body("one"))
                await pipeline.deliver(b"{")
                await pipeline.deliver(raw({**LOG, "labels": 7}))
                deliveries = [Delivery(f"id-{place}", origin="request") for place in range(3)]
                bodies = [body("two"), body("bad"), b"["]
                prepared = [
                    pipeline.prepare(one, delivery)
                    for one, delivery in zip(bodies, deliveries, strict=True)
                ]
                await pipeline.send_prepared(prepared, deliveries)
                route = pipeline.route("logs", {"type": "json_lines"}, LOKI).unwrap()
                await pipeline.send_many([Log(message="three", encoder=None, time_ns=1)], route)

    asyncio.run(main())
    batch = ["delivered", "Refused", "NotJson"]
    assert witness.outcomes == ["delivered", "NotJson", "Malformed", *batch, "delivered"]
    assert [delivery.id for delivery, _ in witness.heard][3:6] == ["id-0", "id-1", "id-2"]
    text = metrics.answer("")[0].decode()
    counted = {
        line.partition(" ")[0].partition("outcome=")[2].partition(",")[0]: line.split()[-1]
        for line in text.splitlines()
        if line.startswith("sonda_events_total") and 'sink="loki"' in line
    }
    assert counted == {'"delivered"': "3.0", '"rejected"': "1.0"}
    assert 'sonda_push_events_count{sink="loki"}' in text


def test_a_delivery_that_is_cut_off_has_its_outcome() -> None:
    """Whoever made it can answer for the event, and the observer has heard of it."""
    witness = Witness()

    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def main() -> Delivery:
        async with Pipeline(observer=witness) as pipeline:
            pipeline._network.http = MockHttp(hang)
            delivery = Delivery()
            running = asyncio.create_task(pipeline.deliver(body("one"), delivery))
            for _ in range(10):
                await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            return delivery

    delivery = asyncio.run(main())
    cut_off = Unreachable("HTTP connect to loki", "its delivery was cut off")
    assert delivery.outcome == Failure(cut_off)
    assert witness.heard == [(delivery, Failure(cut_off))]


def test_stages_leave_their_times() -> None:
    """What comes later is later, and what never came is 0."""

    async def main() -> tuple[Delivery, Delivery]:
        async with Pipeline() as pipeline:
            pipeline._network.http = MockHttp(answer)
            whole, broken = Delivery(), Delivery()
            await pipeline.deliver(body("one"), whole)
            result = await pipeline.deliver(json.dumps({"signal_type": "logs"}).encode(), broken)
            assert isinstance(result.failure(), NotJson | Malformed)
            return whole, broken

    whole, broken = asyncio.run(main())
    assert 0 < whole.began_ns <= whole.prepared_ns <= whole.encoded_ns <= whole.ended_ns
    assert (whole.tries, whole.shared, whole.pushes) == (1, True, [1])
    assert (broken.encoded_ns, broken.tries) == (0, 0)


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        ({}, {}),
        ({"signal_type": ["logs"], "encoder": "otlp", "sink": {"type": {}}}, {}),
        (
            {"signal_type": "logs", "labels": {"a": []}, "sink": {"type": "file", "path": "x"}},
            {"signal_type": "logs", "sink": {"type": "file"}},
        ),
    ],
)
def test_of_a_refused_body_the_names_are_kept(
    document: dict[str, object], kept: dict[str, object]
) -> None:
    """The rest of it may be a megabyte, and a batch may have ten thousand."""
    delivery = Delivery()
    delivery.prepared(Success(document), Failure(Malformed(())), 1)
    assert delivery.document == kept
