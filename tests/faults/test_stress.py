"""The server itself under stress: it stops, it is killed, it is flooded, and its clients leave."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import uvloop

from tests.support.serving import PATIENCE_S, Serving, serving

from .client import Client, client, written
from .destination import Destination, Peer, destination, saying_yes
from .ledger import IS_FULL
from .oracle import Answer, Oracle, Outcome, Sent
from .wires import Entries, Lines, Messages, Wire

IN_FLIGHT: Final = 500
_UNKNOWN: Final = re.compile(r"no acknowledgement from \S+ before its delivery was cut off; ")


async def hanging(peer: Peer) -> None:
    """Take one request, and never answer it."""
    await peer.push()
    peer.fire()
    await peer.hang()


async def slow(peer: Peer) -> None:
    """Answer each request after a while."""
    while (push := await peer.push()) is not None:
        await asyncio.sleep(peer.there.random.uniform(0.01, 0.2))
        await peer.accept(push)


async def patient(peer: Peer) -> None:
    """Answer once all is calm, each request after a while."""
    while (push := await peer.push()) is not None:
        await peer.hang()
        await asyncio.sleep(peer.there.random.uniform(0, 0.5))
        await peer.accept(push)


@asynccontextmanager
async def http_to(script: Any, wire: Wire, random: Random) -> AsyncIterator[Destination]:
    async with destination(wire.read, script, random, healthy=saying_yes) as there:
        await there.listen()
        yield there


def to(there: Destination, sink: str, **options: Any) -> dict[str, Any]:
    return {"type": sink, "url": f"http://{there.address}", "timeout": "60s", **options}


async def wait_until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what is looked at has no event
            await asyncio.sleep(0.01)


def counted(asked: list[tuple[Sent, Answer]]) -> Counter[Outcome]:
    return Counter(answer.outcome for _, answer in asked)


async def in_flight(posting: Client) -> None:
    """Wait until the server has read as many requests as there are connections."""
    await wait_until(lambda: posting.posted == IN_FLIGHT)
    for _ in range(3):
        assert await posting.is_healthy()


async def ask(posting: Client, sent: Sent) -> tuple[Sent, Answer]:
    return sent, await posting.post(sent.document)


# --- it is told to stop --------------------------------------------------------------------------


def test_stopping_answers_what_slow_destinations_still_take(random: Random) -> None:
    """All that is in flight is delivered within the grace period, and the exit status is 0."""

    async def work(server: Serving) -> None:
        wires = Entries(random), Lines(random)
        async with (
            http_to(patient, wires[0], random) as loki,
            http_to(patient, wires[1], random) as http,
            client(server.port, at_once=IN_FLIGHT) as posting,
        ):
            sinks = to(loki, "loki", batch_size=20), to(http, "http_push")
            events = [wires[n % 2].event(sinks[n % 2]) for n in range(IN_FLIGHT)]
            asking = [asyncio.create_task(ask(posting, sent)) for sent in events]
            await in_flight(posting)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for_log, "stopping")
            loki.calm.set()
            http.calm.set()
            asked = await asyncio.gather(*asking)
            assert counted(asked) == {Outcome.DELIVERED: IN_FLIGHT}
            assert Oracle(loki.truth, list(asked[::2])).broken() == []
            assert Oracle(http.truth, list(asked[1::2])).broken() == []

    with serving("--shutdown-timeout", "60") as server:
        uvloop.run(work(server))
        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_what_the_grace_period_cuts_off_is_answered_and_logged(random: Random) -> None:
    """Each event has its true outcome, with destination and timestamp, in its answer and the log."""

    async def work(server: Serving) -> list[tuple[Sent, Answer]]:
        wires = Entries(random), Lines(random), Entries(random)
        async with (
            http_to(hanging, wires[0], random) as loki,
            http_to(hanging, wires[1], random) as http,
            http_to(patient, wires[2], random) as healthy,
            client(server.port, at_once=IN_FLIGHT) as posting,
        ):
            sinks = (
                to(loki, "loki", batch_size=5),  # so that some wait in line: 16 pushes at a time
                to(http, "http_push"),
                to(healthy, "loki"),
            )
            events = [wires[n % 3].event(sinks[n % 3]) for n in range(IN_FLIGHT)]
            asking = [asyncio.create_task(ask(posting, sent)) for sent in events]
            await in_flight(posting)
            await wait_until(lambda: http.truth.fired == 64 and loki.truth.fired == 16)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for_log, "stopping")
            healthy.calm.set()
            asked = await asyncio.gather(*asking)
            assert Oracle(loki.truth, asked[::3]).broken(target=sinks[0]["url"]) == []
            assert Oracle(http.truth, asked[1::3]).broken(target=sinks[1]["url"]) == []
            assert Oracle(healthy.truth, asked[2::3]).broken({Outcome.DELIVERED}) == []
            for there, of_it in ((loki, asked[::3]), (http, asked[1::3])):
                unknown = {s.name for s, answer in of_it if answer.outcome is Outcome.UNKNOWN}
                assert unknown == there.truth.glimpsed
            return asked

    with serving(
        "--shutdown-timeout", "10"
    ) as server:  # time for the healthy one, on a busy machine
        asked = uvloop.run(work(server))
        assert server.wait() == 0
        server.wait_for_end_of_log()
        assert "Traceback" not in server.log
        unknown = [sent for sent, answer in asked if answer.outcome is Outcome.UNKNOWN]
        assert len(unknown) >= 64 + 16
        for sent in unknown:
            assert f"timestamp {sent.timestamp}" in server.log
        assert len(_UNKNOWN.findall(server.log)) == len(unknown)
        assert counted(asked)[Outcome.NEVER_SENT] > 0


# --- it is killed --------------------------------------------------------------------------------


def test_a_killed_server_has_told_no_lie(random: Random, tmp_path: Path) -> None:
    """Whatever got a 200 before SIGKILL is where it was sent; the rest has no answer."""

    async def work(server: Serving) -> None:
        wires = Entries(random), Lines(random), Messages(random)
        written_to = tmp_path / "events.log"
        async with (
            http_to(slow, wires[0], random) as loki,
            client(server.port, at_once=100) as posting,
        ):
            sinks = (
                to(loki, "loki"),
                {"type": "file", "path": str(written_to)},
                {"type": "file", "path": str(written_to)},
            )
            asked: list[tuple[Sent, Answer]] = []

            async def one(at: int) -> None:
                while True:
                    sent = wires[at].event(sinks[at])
                    asked.append(await ask(posting, sent))

            asking = [asyncio.create_task(one(n % 3)) for n in range(100)]
            await wait_until(lambda: len(asked) > 1500 and loki.truth.accepted.total() > 100)
            server.process.kill()
            ended = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(end, EOFError | OSError) for end in ended)
            pushed = [(sent, answer) for sent, answer in asked if sent.document["sink"] is sinks[0]]
            assert len(pushed) > 10
            assert Oracle(loki.truth, pushed).broken({Outcome.DELIVERED}) == []
            there = written_to.read_bytes()
            filed = [sent for sent, _ in asked if sent.document["sink"] is not sinks[0]]
            for sent in filed:
                assert isinstance(sent.arrives, bytes)
                assert there.count(sent.arrives) == 1

    with serving("--file-root", str(tmp_path)) as server:
        uvloop.run(work(server))
        assert server.wait() == -signal.SIGKILL


# --- its clients -----------------------------------------------------------------------------------


def test_who_hangs_up_does_not_stop_their_event(random: Random) -> None:
    """Events arrive, and what has become of them is logged, although nobody waits for the answer."""

    async def work(server: Serving) -> None:
        wire = Entries(random)
        async with http_to(slow, wire, random) as loki:
            events = [wire.event(to(loki, "loki")) for _ in range(200)]
            for sent in events:
                body = written(sent.document)
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(
                    b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                )
                await writer.drain()
                writer.transport.abort()
            await wait_until(lambda: loki.truth.accepted.total() == len(events))
            assert set(loki.truth.accepted) == {sent.arrives for sent in events}

    with serving() as server:
        uvloop.run(work(server))
        assert server.stop() == 0
        assert server.log.count('"POST /events HTTP/1.1" 200') == 200


def test_an_outcome_nobody_waits_for_is_logged(random: Random) -> None:
    """An event whose client has left and whose destination hangs ends in the log, as unknown."""

    async def work(server: Serving) -> Sent:
        wire = Lines(random)
        async with http_to(hanging, wire, random) as there:
            sent = wire.event(to(there, "http_push", timeout="2s"))
            body = written(sent.document)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            await wait_until(lambda: there.truth.fired)
            writer.transport.abort()
            return sent

    with serving() as server:
        sent = uvloop.run(work(server))
        server.wait_for_log(rf"no acknowledgement from \S+ .*\(timestamp {sent.timestamp}\)")
        assert server.stop() == 0


# --- it is flooded -------------------------------------------------------------------------------


def test_too_many_requests_are_turned_away_at_once(random: Random) -> None:
    """Idle connections do not count, nor does `/health`; the next request waits for nobody."""

    async def work(server: Serving) -> None:
        wires = Lines(random), Lines(random)
        async with (
            http_to(hanging, wires[0], random) as one,
            http_to(hanging, wires[1], random) as other,
            client(server.port, at_once=100) as posting,
        ):
            idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
            events = [wires[n % 2].event(to((one, other)[n % 2], "http_push")) for n in range(20)]
            asking = [asyncio.create_task(ask(posting, sent)) for sent in events]
            await wait_until(lambda: one.truth.fired == other.truth.fired == 10)
            for _ in range(50):
                answer = await posting.post(wires[0].event(to(one, "http_push")).document)
                assert (answer.status, answer.document["error"]) == (503, "service_unavailable")
                assert "--max-inflight-requests" in answer.document["detail"]
            assert await posting.is_healthy()
            one.calm.set()
            other.calm.set()
            for _, connected in idle:
                connected.close()
            asked = await asyncio.gather(*asking)
            assert counted(asked) == {Outcome.UNKNOWN: 20}

    with serving("--max-inflight-requests", "20") as server:
        uvloop.run(work(server))
        assert server.stop() == 0


def test_a_hanging_destination_takes_only_its_share(
    random: Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of all places, on whichever ways; then its events are turned away, and others are served.

    How fast they are served meanwhile is printed, not judged: the machine may be busy.
    """

    async def rate_per_s(posting: Client, wire: Wire, there: Destination) -> float:
        began_s = time.perf_counter()
        events = [wire.event(to(there, "loki")) for _ in range(1000)]
        asked = await asyncio.gather(*(ask(posting, sent) for sent in events))
        assert counted(asked) == {Outcome.DELIVERED: 1000}
        assert Oracle(there.truth, list(asked)).broken() == []
        return 1000 / (time.perf_counter() - began_s)

    async def work(server: Serving) -> tuple[float, float]:
        wires = Lines(random), Entries(random)
        async with (
            http_to(hanging, wires[0], random) as hangs,
            http_to(saying_yes, wires[1], random) as healthy,
            client(server.port, at_once=1000) as posting,
            client(server.port, at_once=50) as others,
        ):
            before = await rate_per_s(others, wires[1], healthy)
            ways: list[dict[str, Any]] = [{}, {"headers": {"X-Team": "a"}}, {"timeout": "59s"}]
            events = [
                wires[0].event(to(hangs, "http_push", **random.choice(ways))) for _ in range(1000)
            ]
            asking = [asyncio.create_task(posting.post(sent.document)) for sent in events]
            await wait_until(lambda: sum(task.done() for task in asking) == 1000 - 512)
            turned_away = [task.result() for task in asking if task.done()]
            assert {answer.status for answer in turned_away} == {503}
            assert all(
                answer.document["detail"].startswith(f"512 events for http://{hangs.address} are")
                for answer in turned_away
            )
            during = await rate_per_s(others, wires[1], healthy)
            hangs.calm.set()
            await asyncio.gather(*asking)
            return before, during

    with serving() as server:
        before, during = uvloop.run(work(server))
        assert server.stop() == 0
    with capsys.disabled():
        print(f"\nevents/s to others: {before:.0f}, while one destination hangs: {during:.0f}")  # noqa: T201  # the measurement


FLOOD: Final = 20_000 if IS_FULL else 6_000
WARM_UP: Final = 2_000


def memory_kib(server: Serving) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


def descriptors(server: Serving) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_a_flood_of_destinations_is_bounded(random: Random, tmp_path: Path) -> None:
    """Thousands of different ones leave neither memory nor descriptors behind."""

    async def work(server: Serving) -> None:
        lines, entries = Lines(random), Entries(random)
        async with (
            http_to(saying_yes, lines, random) as http,
            http_to(saying_yes, entries, random) as loki,
            client(server.port, at_once=50) as posting,
        ):

            async def one(number: int) -> Answer:
                """Every one has its own path, credentials or name, and so its own of everything."""
                headers = {"headers": {"Authorization": f"Bearer {number:0500}"}}
                match number % 4:
                    case 0:
                        sent = lines.event(to(http, "http_push", **headers))
                    case 1:
                        url = f"http://{http.address}/{number:0500}"
                        sent = lines.event(to(http, "http_push", url=url))
                    case 2:
                        sent = entries.event(to(loki, "loki", **headers))
                    case _:
                        file = {"type": "file", "path": f"{number % 7}/{number}.log"}
                        sent = lines.event(file)
                return await posting.post(sent.document)

            async def flood(numbers: range) -> None:
                answers = await asyncio.gather(*map(one, numbers))
                assert {answer.status for answer in answers} == {200}

            await flood(range(WARM_UP))
            before_kib = memory_kib(server)
            for start in range(WARM_UP, FLOOD, 2_000):
                await flood(range(start, start + 2_000))
            assert memory_kib(server) - before_kib < 30 * 1024
            assert descriptors(server) < 256 + 50 + 64 + 100

    with serving("--file-root", str(tmp_path)) as server:
        uvloop.run(work(server))
        assert server.stop() == 0


# --- its clients misbehave -----------------------------------------------------------------------


def test_slow_clients_do_not_add_up(random: Random) -> None:
    """Hundreds that send a byte now and then, heads or bodies, are cut off; others are served."""

    async def drip(server: Serving, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        reading = asyncio.create_task(reader.read(1000))
        writer.write(request[:60])
        for position in range(60, len(request)):
            if reading.done():
                break
            writer.write(request[position : position + 1])
            await asyncio.sleep(0.1)
        writer.close()
        return await reading

    async def work(server: Serving) -> None:
        wire = Entries(random)
        head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        endless = (head + b"A: b\r\n" * 40, head + b"Content-Length: 300\r\n\r\n" + b" " * 200)
        async with http_to(saying_yes, wire, random) as loki, client(server.port) as posting:
            dripping = [
                asyncio.create_task(drip(server, endless[number % 2])) for number in range(400)
            ]
            await asyncio.sleep(0.5)
            events = [wire.event(to(loki, "loki")) for _ in range(200)]
            asked = await asyncio.gather(*(ask(posting, sent) for sent in events))
            assert counted(asked) == {Outcome.DELIVERED: 200}
            answers = await asyncio.gather(*dripping)
        assert b"HTTP/1.1 2" not in b"".join(answers)
        kinds = Counter(json.loads(a.partition(b"\r\n\r\n")[2])["error"] for a in answers if a)
        assert set(kinds) <= {"request_timeout", "bad_request"}
        assert kinds["request_timeout"] > 0

    with serving("--request-timeout", "8") as server:  # in which the others are served
        uvloop.run(work(server))
        assert server.stop() == 0
        assert "Traceback" not in server.log
