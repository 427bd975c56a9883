"""The law of isolation where order counts: a Prometheus judges a sample by the one before it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import httpx
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.encoders.remote_write import ENCODER, RemoteWrite
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.net.batching_by_kind import push_by_kind
from sonda.pipeline.problems import Problem, Refused
from sonda.pipeline.sinks import remote_write
from tests.support.events import sample
from tests.support.mock_http import MockHttp
from tests.support.wire import unsnap, write_request

URL = "http://prometheus/api/v1/write"
NO_CONTENT = 204
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Sent:
    """A sample: its series, its millisecond, its value, and after how many turns it is sent."""

    series: str
    time_ms: int
    value: float
    turns: int


@dataclass
class Prometheus:
    """Judges as a real one does: a push with one bad sample is refused, its good ones are kept.

    Of two samples of one series and one millisecond in one push it silently drops the second.
    """

    lag_turns: int = 0
    newest: dict[str, tuple[int, float]] = field(default_factory=dict)
    pushes: list[list[str]] = field(default_factory=list)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        pushed = [
            (dict(labels)["series"], time_ms, value)
            for labels, [(value, time_ms)] in write_request(unsnap(request.content))
        ]
        self.pushes.append([series for series, _, _ in pushed])
        for _ in range(self.lag_turns):
            await asyncio.sleep(0)
        flaws = [self.judge(*each) for each in pushed]
        bad = next((flaw for flaw in flaws if flaw), "")
        return httpx.Response(400, text=bad) if bad else httpx.Response(NO_CONTENT)

    def judge(self, series: str, time_ms: int, value: float) -> str:
        """Keep a sample, or say what is wrong with it."""
        last_ms, last_value = self.newest.get(series, (-1, 0.0))
        if time_ms < last_ms:
            return f"out of order: {series}"
        if time_ms == last_ms and value != last_value:
            return f"duplicate: {series}"
        self.newest[series] = (time_ms, value)
        return ""


def samples() -> st.SearchStrategy[list[Sent]]:
    """Few series, milliseconds and values, so that many samples get into each other's way."""
    one = st.builds(
        Sent,
        series=st.sampled_from("abcd"),
        time_ms=st.integers(0, 4),
        value=st.sampled_from([1.0, 2.0]),
        turns=st.integers(0, 8),
    )
    return st.lists(one, min_size=1, max_size=30)


def push_all(sent: Sequence[Sent], there: Prometheus) -> list[Result[Ack, Problem]]:
    """Send samples to one receiver, each after its turns of the loop."""

    async def main() -> list[Result[Ack, Problem]]:
        transport = Network()
        transport.http = MockHttp(there.answer)
        queues = remote_write.open_queues(
            remote_write.RemoteWrite(url=URL, batch_size=3), transport
        )

        async def send(number: int, one: Sent) -> Result[Ack, Problem]:
            for _ in range(one.turns):
                await asyncio.sleep(0)
            event = sample(one.value, labels={"series": one.series}, time_ns=one.time_ms * 10**6)
            body = ENCODER.encode(event, RemoteWrite()).unwrap()
            payload = Payload(event, "remote_write", ENCODER.content_type, body, ENCODER.packing)
            deadline = Deadline.within(PATIENCE_S)
            pending = await push_by_kind(payload, queues, transport, deadline)
            return await pending.unwrap()()

        outcomes = await asyncio.gather(*map(send, count(), sent))
        await transport.aclose()
        return list(outcomes)

    return asyncio.run(main())


@given(samples(), st.integers(0, 5))
def test_a_sample_is_judged_as_if_it_came_alone(sent: list[Sent], lag_turns: int) -> None:
    """Each verdict is what one sample after another would have got, and what is stored is the same."""
    there, alone = Prometheus(lag_turns), Prometheus()
    outcomes = push_all(sent, there)
    expected: dict[int, Result[Ack, Problem]] = {}
    for number in sorted(range(len(sent)), key=lambda number: sent[number].turns):
        one = sent[number]
        flaw = alone.judge(one.series, one.time_ms, one.value)
        yes = Success(Ack(Confirmed.ACCEPTED, status=NO_CONTENT))
        expected[number] = Failure(Refused(URL, "400 Bad Request", flaw)) if flaw else yes
    assert dict(enumerate(outcomes)) == expected
    assert there.newest == alone.newest
    for pushed in there.pushes:
        assert len(pushed) <= 3
        assert set(Counter(pushed).values()) == {1}
    note(f"pushed together: {any(len(pushed) > 1 for pushed in there.pushes)}")
