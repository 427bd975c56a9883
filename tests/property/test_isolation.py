"""The law of isolation: pushed together or alone, an event's answer is the same."""

from __future__ import annotations

import asyncio
import json
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
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem, Refused
from sonda.pipeline.sinks import loki
from tests.support.events import record
from tests.support.mock_http import MockHttp

URL = "http://loki"
POSTED = f"{URL}/loki/api/v1/push"
GOOD = 204
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Sent:
    """An event: the status that it deserves, its stream, and after how many turns it is sent."""

    deserves: int
    stream: str
    turns: int


def sent_events() -> st.SearchStrategy[list[Sent]]:
    """Mixes of good events and of those that a Loki refuses in one way or another."""
    one = st.builds(
        Sent,
        deserves=st.sampled_from([GOOD, GOOD, GOOD, GOOD, 400, 500, 260]),
        stream=st.sampled_from("abc"),
        turns=st.integers(0, 8),
    )
    return st.lists(one, min_size=1, max_size=30)


@dataclass
class Loki:
    """Refuses a push for its first bad entry, and keeps the good ones of a push that it calls bad.

    Every answer takes some turns of the loop, so that events line up meanwhile.
    """

    lag_turns: int
    doorman: int = GOOD
    pushes: list[list[str]] = field(default_factory=list)
    stored: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        lines = [
            line
            for stream in json.loads(request.content)["streams"]
            for _, line in stream["values"]
        ]
        self.pushes.append(lines)
        for _ in range(self.lag_turns):
            await asyncio.sleep(0)
        if self.doorman != GOOD:
            return httpx.Response(self.doorman)
        bad = [line for line in lines if deserved(line) != GOOD]
        if not bad or deserved(bad[0]) == 400:
            self.stored.update(line for line in lines if deserved(line) == GOOD)
        if bad:
            return httpx.Response(deserved(bad[0]), text=bad[0])
        return httpx.Response(GOOD)


def deserved(line: str) -> int:
    return int(line.split(maxsplit=1)[0])


def push_all(events: Sequence[Sent], there: Loki) -> list[Result[Ack, Problem]]:
    """Send events to one destination, each after its turns of the loop."""

    async def main() -> list[Result[Ack, Problem]]:
        transport = Network()
        transport.http = MockHttp(there.answer)
        options = loki.Loki(url=URL, max_streams_per_push=2, batch_size=8)
        queue = loki.open_queue(options, transport)

        async def send(number: int, sent: Sent) -> Result[Ack, Problem]:
            for _ in range(sent.turns):
                await asyncio.sleep(0)
            event = record(labels={"stream": sent.stream})
            payload = Payload(event, "json_lines", "", line_of(number, sent).encode() + b"\n")
            pushed = await loki.SINK.push(payload, queue, transport, Deadline.within(PATIENCE_S))
            return await pushed.unwrap()()

        outcomes = await asyncio.gather(*map(send, count(), events))
        await transport.aclose()
        return list(outcomes)

    return asyncio.run(main())


def line_of(number: int, sent: Sent) -> str:
    return f"{sent.deserves} for number {number}"


@given(sent_events(), st.integers(0, 5))
def test_a_verdict_is_ones_own(events: list[Sent], lag_turns: int) -> None:
    """Good events pass and are stored, bad ones fail with their own words, whoever is beside them."""
    there = Loki(lag_turns)
    outcomes = push_all(events, there)
    for number, (sent, outcome) in enumerate(zip(events, outcomes, strict=True)):
        line = line_of(number, sent)
        if sent.deserves == GOOD:
            assert outcome == Success(Ack(Confirmed.ACCEPTED, status=GOOD))
            assert there.stored[line] >= 1
        else:
            phrase = httpx.codes.get_reason_phrase(sent.deserves)
            status = f"{sent.deserves} {phrase}".rstrip()
            assert outcome == Failure(Refused(POSTED, status, line))
            assert there.stored[line] == 0
    for lines in there.pushes:
        assert len(lines) <= 8
    tries = Counter(line for lines in there.pushes for line in lines)
    assert set(tries.values()) <= {1, 2}
    note(f"pushed together: {any(len(lines) > 1 for lines in there.pushes)}")


@given(sent_events(), st.integers(0, 5), st.sampled_from([401, 403, 404]))
def test_a_closed_door_is_not_tried_twice(events: list[Sent], lag_turns: int, doorman: int) -> None:
    """A refusal that any event would have met is every event's verdict at once."""
    there = Loki(lag_turns, doorman)
    outcomes = push_all(events, there)
    phrase = httpx.codes.get_reason_phrase(doorman)
    assert outcomes == [Failure(Refused(POSTED, f"{doorman} {phrase}"))] * len(events)
    assert sum(map(len, there.pushes)) == len(events)


def test_events_at_once_are_pushed_together() -> None:
    """These laws are about pushes that really hold several events."""
    there = Loki(lag_turns=3)
    push_all([Sent(GOOD, "a", 0), Sent(400, "b", 0), Sent(GOOD, "a", 0)], there)
    names = [line_of(number, Sent(status, "", 0)) for number, status in enumerate([204, 400, 204])]
    together = [names[0], names[2], names[1]]  # by stream
    assert there.pushes == [together, [names[0]], [names[1]], [names[2]]]
