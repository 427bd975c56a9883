"""Many events in one go: their order, their verdicts, and what they wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import httpx
import pytest
from returns.result import Failure, Result, Success

from sonda.http_answers import Form, failed
from sonda.pipeline import turns as turns_module
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.groups import record
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import Ack, Confirmed, Log, Payload, Receipt
from sonda.pipeline.net.write_groups import write_many
from sonda.pipeline.net.writes import WriteBatch
from sonda.pipeline.problems import (
    DestinationBusy,
    Invalid,
    Malformed,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from sonda.pipeline.turns import Turns
from tests.support.bodies import LOG, METRIC, changed, raw
from tests.support.extras import needs
from tests.support.loop_turns import counted_turns
from tests.support.mock_http import MockHttp
from tests.support.virtual_time import run_virtually

T = TypeVar("T")

LOKI = {"type": "loki", "url": "http://loki"}
WEBHOOK = {"type": "http_push", "url": "http://webhook"}
REMOTE_WRITE = {"type": "remote_write", "url": "http://p/api/v1/write"}


def events(count: int) -> list[Log]:
    """Make log events, one nanosecond apart."""
    return [Log(message=f"m{number}", encoder=None, time_ns=number) for number in range(count)]


class Destination:
    """Answers requests; keeps what each one held."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.refuses: set[str] = set()
        self.sizes: list[int] = []
        self.reads_json = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.sizes.append(len(request.content))
        if not self.reads_json:
            self.requests.append(request.content.decode(errors="replace").splitlines())
            await self.gate.wait()
            return httpx.Response(204)
        lines = request.content.decode().splitlines()
        document = json.loads(lines[0])
        lines = (
            [line for stream in document["streams"] for _, line in stream["values"]]
            if "streams" in document
            else lines
        )
        messages = [json.loads(line)["message"] for line in lines]
        self.requests.append(messages)
        await self.gate.wait()
        return httpx.Response(400 if self.refuses.intersection(messages) else 204)


def run(
    work: Callable[[Pipeline, Destination], Awaitable[T]],
    *,
    share: int | None = None,
    runs: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run,
) -> T:
    """Do *work* with a pipeline that reaches a destination of ours alone."""

    async def main() -> T:
        async with Pipeline(share=share) as pipeline:
            there = Destination()
            pipeline._network.http = MockHttp(there.answer)
            return await work(pipeline, there)

    return runs(main())


def test_a_group_is_one_push() -> None:
    """Events of one destination leave together, in their order, each with a receipt."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        route = pipeline.route("logs", {"type": "json_lines"}, LOKI).unwrap()
        results = await pipeline.send_many(events(500), route)
        assert there.requests == [[f"m{number}" for number in range(500)]]
        receipts = [result.unwrap() for result in results]
        assert [receipt.time_ns for receipt in receipts] == list(range(500))
        assert {(it.confirmed, it.tries, it.status) for it in receipts} == {
            (Confirmed.ACCEPTED, 1, 204)
        }

    run(work)


def test_a_refused_neighbour_fails_alone() -> None:
    """Each event's verdict is its own."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.refuses = {"m7"}
        route = pipeline.route("logs", {"type": "json_lines"}, LOKI).unwrap()
        results = await pipeline.send_many(events(100), route)
        failed = [number for number, result in enumerate(results) if isinstance(result, Failure)]
        assert failed == [7]
        assert isinstance(results[7].failure(), Refused)

    run(work)


def test_one_post_after_the_other_where_posts_are_not_joined() -> None:
    """`http_push` without a batch size posts each event by itself, in the order of the group."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.refuses = {"m1"}
        route = pipeline.route("logs", {"type": "json_lines"}, WEBHOOK).unwrap()
        results = await pipeline.send_many(events(3), route)
        assert there.requests == [["m0"], ["m1"], ["m2"]]
        assert [type(result) for result in results] == [Success, Failure, Success]

    run(work)


def test_lines_of_a_file_keep_their_order(tmp_path: Path) -> None:
    """A group for a file is written in its order."""

    async def work(pipeline: Pipeline, _: Destination) -> None:
        sink = {"type": "file", "path": str(tmp_path / "x.log")}
        route = pipeline.route("logs", {"type": "json_lines"}, sink).unwrap()
        results = await pipeline.send_many(events(200), route)
        assert all(isinstance(result, Success) for result in results)
        lines = (tmp_path / "x.log").read_text().splitlines()
        assert [json.loads(line)["message"] for line in lines] == [f"m{n}" for n in range(200)]

    run(work)


def test_prepared_bodies_are_sorted_by_sink() -> None:
    """Each sink gets its events in their order; what is invalid has its own problem in its place."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        bodies = [
            changed(LOG, sink=LOKI, log__message="a"),
            changed(LOG, sink=WEBHOOK, log__message="b"),
            {"signal_type": "logs"},
            changed(LOG, sink=LOKI, log__message="c"),
            changed(LOG, sink={"type": "loki", "url": "loki"}),
        ]
        prepared = [pipeline.prepare(raw(body)) for body in bodies]
        results = await pipeline.send_prepared(prepared)
        assert sorted(there.requests) == [["a", "c"], ["b"]]
        assert isinstance(results[2].failure(), Malformed)
        assert isinstance(results[4].failure(), Invalid)
        assert [isinstance(result, Success) for result in results] == [
            True,
            True,
            False,
            True,
            False,
        ]

    run(work)


@pytest.mark.parametrize(
    ("sink", "other"),
    [
        (LOKI, {"timeout": "9s"}),
        (LOKI, {"batch_size": 7}),
        (LOKI, {"url": "http://LOKI.:80/loki/api/v1/push"}),
        (LOKI, {"url": "http://loki/loki/api/v1/%70ush/"}),
        (LOKI | {"headers": {"A": "1", "B": "2"}}, {"headers": {"b": "2", "a": "1"}}),
        (
            LOKI | {"url": "http://me:pw@loki"},
            {"url": "http://loki", "headers": {"authorization": "Basic bWU6cHc="}},
        ),
        (LOKI | {"url": "http://127.0.0.1"}, {"url": "http://127.1"}),
        (WEBHOOK, {"timeout": "9s"}),
        (WEBHOOK, {"headers": {"a": "b"}}),
        (WEBHOOK, {"retry": {"max_attempts": 1}}),
        pytest.param(
            {"type": "otlp_http", "endpoint": "http://o"},
            {"compression": "gzip"},
            marks=needs("sink", "otlp_http"),
        ),
        pytest.param(
            {"type": "otlp_http", "endpoint": "http://o"},
            {"endpoint": "http://o/v1/logs"},
            marks=needs("sink", "otlp_http"),
        ),
        pytest.param(
            REMOTE_WRITE,
            {"url": "http://p/api/v1/%77rite", "timeout": "9s"},
            marks=needs("sink", "remote_write"),
        ),
    ],
)
def test_one_receiver_gets_its_events_in_their_order(
    sink: dict[str, Any], other: dict[str, Any]
) -> None:
    """Whatever the other options of each: the next one waits for the verdict on the one before."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.reads_json = False
        encoder = {"otlp_http": "otlp", "remote_write": "remote_write"}.get(
            sink["type"], "json_lines"
        )
        event = METRIC if encoder == "remote_write" else LOG
        prepared = [
            pipeline.prepare(raw(changed(event, sink=options, encoder={"type": encoder})))
            for options in (sink, sink | other, sink)
        ]
        there.gate.clear()
        sending = asyncio.ensure_future(pipeline.send_prepared(prepared))
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(there.sizes) == 1
        there.gate.set()
        results = await sending
        assert len(there.sizes) == 3
        assert all(isinstance(result, Success) for result in results)

    run(work)


@needs("sink", "remote_write")
def test_samples_of_a_series_keep_their_order_however_the_receiver_is_written() -> None:
    """A receiver refuses a sample that comes after a later one."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.reads_json = False
        other = REMOTE_WRITE | {"url": "http://P:80/api/v1/%77rite"}
        times = "00:00:00.001", "00:00:01", "00:01:40"  # each is a byte longer in a request
        prepared = [
            pipeline.prepare(
                raw(
                    changed(METRIC, sink=sink, encoder={"type": "remote_write"})
                    | {"timestamp": f"1970-01-01T{time}Z"}
                )
            )
            for sink, time in zip((REMOTE_WRITE, other, REMOTE_WRITE), times, strict=True)
        ]
        results = await pipeline.send_prepared(prepared)
        assert all(isinstance(result, Success) for result in results)
        first, second, third = there.sizes
        assert first < second < third

    run(work)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LOKI | {"headers": {"X-Scope-OrgID": "a"}}, LOKI | {"headers": {"X-Scope-OrgID": "b"}}),
        (WEBHOOK, {"type": "http_push", "url": "http://webhook/other"}),
    ],
)
def test_receivers_do_not_wait_for_each_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Tenants and paths of one address are receivers of their own."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.reads_json = False
        prepared = [pipeline.prepare(raw(changed(LOG, sink=sink))) for sink in (one, other)]
        there.gate.clear()
        sending = asyncio.ensure_future(pipeline.send_prepared(prepared))
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(there.sizes) == 2
        there.gate.set()
        await sending

    run(work)


def test_files_and_addresses_are_known_by_any_spelling(tmp_path: Path) -> None:
    """`./x` is `x`, and names of hosts have no case."""

    def receiver(sink: dict[str, Any]) -> str:
        validated = Pipeline().prepare(raw(changed(LOG, sink=sink))).unwrap().validated
        return validated.sink.receiver

    def tcp(address: str) -> dict[str, Any]:
        return {"type": "tcp", "address": address}

    paths = [str(tmp_path / "x"), f"{tmp_path}/./x", f"{tmp_path}//x"]
    assert len({receiver({"type": "file", "path": path}) for path in paths}) == 1
    assert receiver(tcp("HOST:1")) == receiver(tcp("host:1"))
    assert receiver(tcp("host:1")) != receiver(tcp("host:2"))
    assert receiver({"type": "loki", "url": "http://LOKI"}) == receiver(
        {"type": "loki", "url": "http://loki:80/"}
    )


def test_nothing_is_sent_for_what_is_all_invalid() -> None:
    """No event, no task."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        results = await pipeline.send_prepared([pipeline.prepare(b"{")])
        assert len(results) == 1
        assert there.requests == []
        assert await pipeline.send_prepared([]) == []

    run(work)


@pytest.mark.parametrize(
    ("encoder", "sink"),
    [({"type": "influx_lp"}, LOKI), ({"type": "json_lines"}, {"type": "loki", "url": "x"})],
)
def test_a_route_is_validated(encoder: dict[str, Any], sink: dict[str, Any]) -> None:
    """As a body with this encoder and sink would be."""

    async def work(pipeline: Pipeline, _: Destination) -> None:
        assert isinstance(pipeline.route("logs", encoder, sink).failure(), Invalid)

    run(work)


def test_a_group_waits_where_the_destination_is_full() -> None:
    """It goes in pieces of what the destination may have under way."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        route = pipeline.route("logs", {"type": "json_lines"}, LOKI).unwrap()
        results = await pipeline.send_many(events(25), route)
        assert [len(request) for request in there.requests] == [10, 10, 5]
        assert all(isinstance(result, Success) for result in results)

    run(work, share=10)


def test_a_group_refuses_no_single_event() -> None:
    """As many single events as ever may be under way beside it, one with a key among them."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.gate.clear()
        route = pipeline.route("logs", {"type": "json_lines"}, LOKI).unwrap()
        group = asyncio.create_task(pipeline.send_many(events(5), route))
        while not there.requests:  # noqa: ASYNC110  # a mock has no event for it
            await asyncio.sleep(0)
        body = {"signal_type": "logs", "labels": {}, "encoder": {"type": "json_lines"}}
        body |= {"log": {"severity": "info", "message": "m"}, "sink": LOKI}
        single = asyncio.create_task(pipeline.emit(body))
        keyed = asyncio.create_task(pipeline.send_many(events(1), route, waits=False))
        await asyncio.sleep(0)
        there.gate.set()
        assert isinstance(await single, Success)
        assert all(isinstance(result, Success) for result in (*await group, *await keyed))

    run(work, share=2)


def test_a_group_that_may_not_wait_is_refused() -> None:
    """Where no place is free, and the caller does not wait, nothing is sent."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.gate.clear()
        route = pipeline.route("logs", {"type": "json_lines"}, LOKI).unwrap()
        first = asyncio.create_task(pipeline.send_many(events(2), route, waits=False))
        while not there.requests:  # noqa: ASYNC110  # a mock has no event for it
            await asyncio.sleep(0)
        (refused,) = await pipeline.send_many(events(1), route, waits=False)
        assert refused.failure() == DestinationBusy("http://loki", 2)
        there.gate.set()
        assert all(isinstance(result, Success) for result in await first)
        assert len(there.requests) == 1

    run(work, share=2)


def test_an_event_that_waits_for_its_turn_until_its_deadline_is_unsent() -> None:
    """It is no refusal of the server's: another event's destination took all the time there was."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.gate.clear()

        async def open_late() -> None:
            while len(there.requests) < 2:  # noqa: ASYNC110  # a mock has no event for it
                await asyncio.sleep(0)
            await asyncio.sleep(0.06)  # the deadline of all five is over by then
            there.gate.set()

        opening = asyncio.create_task(open_late())
        hangs = {**WEBHOOK, "timeout": "50ms"}
        bodies = [
            changed(LOG, sink={**hangs, "url": f"http://webhook/{n}"}, log__message=f"m{n}")
            for n in range(5)
        ]
        results = await pipeline.send_prepared([pipeline.prepare(raw(body)) for body in bodies])
        await opening
        assert len(there.requests) == 2
        assert [result.failure() for result in results[2:]] == [
            Unreachable(f"wait for its turn at http://webhook/{n}", "timed out after 0.05s")
            for n in range(2, 5)
        ]

    run(work, share=2, runs=run_virtually)


def test_a_group_that_is_cut_off_says_what_became_of_each() -> None:
    """What has left is unknown; what was not handed over yet is unsent."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.gate.clear()
        bodies = [changed(LOG, sink=WEBHOOK, log__message=name) for name in "ab"]
        prepared = [*map(pipeline.prepare, map(raw, bodies)), pipeline.prepare(b"")]
        group = asyncio.create_task(pipeline.send_prepared(prepared))
        while not there.requests:  # noqa: ASYNC110  # a mock has no event for it
            await asyncio.sleep(0)
        group.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await group
        outcomes = outcomes_of_group(cut_off.value)
        assert outcomes is not None
        assert len(outcomes) == 3
        assert isinstance(outcomes[0].failure(), (OutcomeUnknown, Unreachable))
        assert isinstance(outcomes[1].failure(), Unreachable)

    run(work)


class Gate:
    """A way to write that waits to be let through, then writes one event at a time."""

    target = "gate"
    confirmed = Confirmed.ACCEPTED
    needs_thread = True

    def __init__(self) -> None:
        self.entered, self.opened = Event(), Event()
        self.written: list[bytes] = []

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        self.written.append(batch.begin(1))
        self.entered.set()
        self.opened.wait()
        batch.set_result(1)
        return Success(None)


def payloads(count: int) -> list[Payload]:
    """Make payloads whose bodies are their numbers."""
    return [
        Payload(event, "json_lines", "", str(number).encode())
        for number, event in enumerate(events(count))
    ]


def test_a_blocking_write_that_is_cut_off_leaves_the_rest_unsent() -> None:
    """The event whose write has begun is unknown; those behind it are withdrawn, and never written."""
    gate = Gate()

    async def main() -> None:
        deadline = Deadline.within(60)
        group = asyncio.create_task(write_many(payloads(3), gate, object(), deadline))
        await asyncio.to_thread(gate.entered.wait)
        group.cancel()
        with pytest.raises(asyncio.CancelledError) as cut_off:
            await group
        outcomes = outcomes_of_group(cut_off.value)
        assert outcomes is not None
        problems = [outcome.failure() for outcome in outcomes]
        assert [type(one) for one in problems] == [OutcomeUnknown, Unreachable, Unreachable]
        gate.opened.set()
        later = await write_many(payloads(1), gate, object(), deadline)
        assert later == [Success(Ack(Confirmed.ACCEPTED))]

    asyncio.run(main())
    assert gate.written == [b"0", b"0"]


def test_a_blocking_write_that_is_too_late_is_withdrawn() -> None:
    """At the deadline what waits behind another group is withdrawn, and never written."""
    gate, place = Gate(), object()

    async def main() -> None:
        first = asyncio.create_task(write_many(payloads(2), gate, place, Deadline.within(60)))
        await asyncio.to_thread(gate.entered.wait)
        behind = await write_many(payloads(9)[7:], gate, place, Deadline.within(0))
        assert [type(one.failure()) for one in behind] == [Unreachable, Unreachable]
        gate.opened.set()
        assert await first == [Success(Ack(Confirmed.ACCEPTED))] * 2

    asyncio.run(main())
    assert gate.written == [b"0", b"1"]


def test_a_webhook_gets_joined_events_up_to_batch_size_bytes() -> None:
    """With `batch_size` the events of a group share POSTs, in their order; without it none do."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        encoder = {"type": "json_lines"}
        alone = pipeline.route("logs", encoder, WEBHOOK).unwrap()
        assert all(isinstance(one, Success) for one in await pipeline.send_many(events(4), alone))
        assert there.requests == [["m0"], ["m1"], ["m2"], ["m3"]]
        there.requests.clear()
        size = there.sizes[-1]
        joined = pipeline.route("logs", encoder, WEBHOOK | {"batch_size": 2 * size}).unwrap()
        assert all(isinstance(one, Success) for one in await pipeline.send_many(events(5), joined))
        assert there.requests == [["m0", "m1"], ["m2", "m3"], ["m4"]]
        there.requests.clear()
        tight = pipeline.route("logs", encoder, WEBHOOK | {"batch_size": 1}).unwrap()
        assert all(isinstance(one, Success) for one in await pipeline.send_many(events(2), tight))
        assert there.requests == [["m0"], ["m1"]]

    run(work)


def test_single_events_for_a_webhook_are_never_joined() -> None:
    """Only what leaves together is joined: two events sent side by side are two POSTs."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        sink = WEBHOOK | {"batch_size": 1_000_000}
        route = pipeline.route("logs", {"type": "json_lines"}, sink).unwrap()
        await asyncio.gather(*(pipeline.send(event, route) for event in events(3)))
        assert sorted(there.requests) == [["m0"], ["m1"], ["m2"]]

    run(work)


def test_a_refused_event_of_a_joined_post_fails_alone() -> None:
    """A refused POST is halved until the refused event is alone; each verdict is its own."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        there.refuses = {"m7"}
        sink = WEBHOOK | {"batch_size": 1_000_000}
        route = pipeline.route("logs", {"type": "json_lines"}, sink).unwrap()
        results = await pipeline.send_many(events(100), route)
        assert [number for number, one in enumerate(results) if isinstance(one, Failure)] == [7]
        assert isinstance(results[7].failure(), Refused)
        assert ["m7"] in there.requests
        assert len(there.requests) < 20

    run(work)


PARTLY = httpx.Response(
    200, content=b"\x0a\x02\x08\x01", headers={"content-type": "application/x-protobuf"}
)
"""One record was rejected."""


@pytest.mark.parametrize(
    ("sink", "encoder", "first", "alone", "is_safe"),
    [
        ({**WEBHOOK, "batch_size": 10_000}, "json_lines", httpx.Response(400), 400, True),
        ({**WEBHOOK, "batch_size": 10_000}, "json_lines", httpx.Response(503), 400, False),
        ({**WEBHOOK, "batch_size": 10_000}, "json_lines", httpx.Response(400), None, True),
        ({**WEBHOOK, "batch_size": 10_000}, "json_lines", httpx.Response(503), None, False),
        pytest.param(
            *({"type": "otlp_http", "endpoint": "http://o"}, "otlp", PARTLY, 400, False),
            marks=needs("sink", "otlp_http"),
        ),
    ],
)
def test_what_a_refused_push_may_have_stored_is_not_sent_again_safely(
    sink: dict[str, Any], encoder: str, first: httpx.Response, alone: int | None, is_safe: bool
) -> None:
    """The worst of an event's tries counts, those in company included."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            there.sizes.append(len(request.content))
            if len(there.sizes) == 1:
                return first
            if alone is None:
                raise ConnectionRefusedError
            return httpx.Response(alone)

        pipeline._network.http = MockHttp(answer)
        deliveries = [Delivery(), Delivery()]
        body = raw(changed(LOG, sink=sink, encoder={"type": encoder}))
        prepared = [pipeline.prepare(body, delivery) for delivery in deliveries]
        results = await pipeline.send_prepared(prepared, deliveries)
        assert len(there.sizes) == 3
        for delivery, result in zip(deliveries, results, strict=True):
            document = json.loads(failed(result.failure(), Form(receipt=True), delivery).body)
            assert document["outcome"] == "rejected"
            assert document["resend"] == ("safe" if is_safe else "may_duplicate")

    run(work)


def test_what_is_no_line_is_not_joined() -> None:
    """A line feed inside an event would make two of it: such a group goes one by one."""

    async def work(pipeline: Pipeline, there: Destination) -> None:
        sink = WEBHOOK | {"batch_size": 1_000_000}
        route = pipeline.route("logs", {"type": "syslog"}, sink).unwrap()
        logs = [Log(message=text, encoder=None, time_ns=1) for text in ("a\nb", "c")]
        there.reads_json = False
        assert all(isinstance(one, Success) for one in await pipeline.send_many(logs, route))
        assert [len(request) for request in there.requests] == [2, 1]

    run(work)


class Observed:
    """Counts the outcomes that it hears of."""

    count = 0

    def finished(self, delivery: Delivery, outcome: Result[Receipt, Problem]) -> None:
        """Count one."""
        self.count += 1


@pytest.mark.parametrize("in_server", [True, False])
def test_warnings_of_a_batch_leave_others_their_turns(
    monkeypatch: pytest.MonkeyPatch, in_server: bool
) -> None:
    """In a server the log of thousands of advisories is long work, too; elsewhere nobody waits."""
    monkeypatch.setattr(turns_module, "TURN_S", 0.0)
    prepared = Pipeline(in_server=True).prepare
    there = {"type": "http_push", "url": "http://localhost/"}
    encoded = [
        prepared(raw(changed(LOG, sink={**there, "url": f"http://localhost/{number}"}))).unwrap()
        for number in range(10)
    ]
    deliveries = [Delivery.of(event.validated) for event in encoded]
    outcomes = [Failure(Unreachable("connect", "refused")) for _ in encoded]
    observed, turns_at_warning = Observed(), []

    async def work() -> None:
        async with counted_turns() as others:

            def warn(_: str) -> None:
                turns_at_warning.append(others.count)

            turns = Turns() if in_server else None
            assert await record(deliveries, outcomes, observed, warn, turns) == outcomes  # type: ignore[arg-type]

    asyncio.run(work())
    assert observed.count == 10
    assert len(turns_at_warning) == 10
    assert len(set(turns_at_warning)) == (10 if in_server else 1)
