"""A delivery that is cancelled says by the cancellation what has become of its event."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from returns.result import Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.interruption import what_became
from sonda.pipeline.problems import DestinationBusy, OutcomeUnknown, Problem, Refused, Unreachable
from tests.support.destinations import TIME_NS, NewLoop, both_loops, log_event, outcome, run
from tests.support.faulty import Faulty, Peer, faulty

CUT_OFF = "its delivery was cut off"
RETRY = {"max_attempts": 5, "initial_backoff": "60s", "max_backoff": "60s"}


async def cancelled(pipeline: Pipeline, sink: dict[str, Any], ready: Callable[[], object]) -> Any:
    """Cancel a delivery once *ready* returns; gives what the cancellation says of the event."""
    delivering = asyncio.create_task(outcome(pipeline, log_event(sink)))
    await asyncio.to_thread(ready)
    await asyncio.sleep(0.05)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await delivering
    return what_became(caught.value)


def interrupt(
    sink: dict[str, Any], ready: Callable[[], object], loop: NewLoop = asyncio.new_event_loop
) -> Problem:
    async def work(pipeline: Pipeline) -> Problem:
        problem: Problem = await cancelled(pipeline, sink, ready)
        return problem

    return run(work, loop=loop)


def unknown(target: str) -> OutcomeUnknown:
    return OutcomeUnknown(target, "before its delivery was cut off", TIME_NS)


def in_request(peer: Peer) -> None:
    peer.request()
    peer.hang()


def refusing(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    peer.hang()


def to(server: Faulty, sink: str, **options: Any) -> dict[str, Any]:
    return {"type": sink, "url": server.url, "timeout": "60s", **options}


@both_loops
@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_what_has_left_is_unknown(sink: str, loop: NewLoop) -> None:
    """The request is out, and its answer is not awaited any longer."""
    with faulty(in_request) as server:
        problem = interrupt(to(server, sink), server.posts.wait_for, loop)
        assert problem == unknown(server.url)


@both_loops
@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_what_has_not_left_was_never_sent(sink: str, loop: NewLoop) -> None:
    """The TLS handshake was not over: the destination has nothing."""
    with faulty(Peer.hang) as server:
        url = f"https://{server.address}"
        problem = interrupt(to(server, sink, url=url), server.connections.wait_for, loop)
        assert problem == Unreachable(f"HTTP connect to {server.address}", CUT_OFF)


@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_between_two_tries_the_last_one_counts(sink: str) -> None:
    """The destination has said no, and it is not asked again."""
    with faulty(refusing) as server:
        problem = interrupt(to(server, sink, retry=RETRY), server.posts.wait_for)
        posted = server.url if sink == "http_push" else f"{server.url}/loki/api/v1/push"
        assert problem == Refused(posted, "503 Busy")


@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_unknown_once_is_unknown(sink: str) -> None:
    """A first try without an answer stays so, however early the second one is cut off."""

    def break_off(peer: Peer) -> None:
        peer.request()
        peer.reset()

    with faulty(break_off, in_request) as server:
        retry = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}

        def second_try() -> None:
            server.posts.wait_for(2)

        problem = interrupt(to(server, sink, retry=retry), second_try)
    assert isinstance(problem, OutcomeUnknown)
    assert "Connection reset" in problem.reason or problem.reason == "(Broken pipe)"


def test_a_tcp_peer_that_does_not_answer_the_handshake() -> None:
    """Behind a handshake nothing has left."""
    with faulty(Peer.hang) as server:
        sink = {"type": "tcp", "address": server.address, "tls": {}, "timeout": "60s"}
        problem = interrupt(sink, server.connections.wait_for)
        assert problem == Unreachable(f"TCP connect to {server.address}", CUT_OFF)


def test_a_file_that_is_locked(tmp_path: Path) -> None:
    """An event that waits for the lock has not begun."""
    file = tmp_path / "x.log"
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        problem = interrupt({"type": "file", "path": str(file)}, lambda: None)
    assert problem == Unreachable(f'write to "{file}"', CUT_OFF)
    assert file.read_bytes() == b""


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, no datagram."""

    async def slowly(*_: object) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr("sonda.pipeline.net.resolve.resolve", slowly)
    sink = {"type": "udp", "address": "slow.example.org:514", "timeout": "60s"}
    problem = interrupt(sink, lambda: None)
    assert problem == Unreachable("UDP send to slow.example.org:514", CUT_OFF)


def test_a_timeout_around_a_delivery_works() -> None:
    """The library's user sees asyncio's own exception, and behind it what became of the event."""

    async def work(pipeline: Pipeline) -> Problem | None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(1):
                await outcome(pipeline, log_event(to(server, "loki")))
        cancellation = caught.value.__cause__
        assert isinstance(cancellation, asyncio.CancelledError)
        return what_became(cancellation)

    with faulty(in_request) as server:
        assert run(work) == unknown(server.url)


def test_a_destination_has_its_share() -> None:
    """What comes on top of it is turned away at once, on all ways to the same address."""

    async def work() -> list[Any]:
        async with Pipeline(share=2) as pipeline:
            hanging = [
                asyncio.create_task(outcome(pipeline, log_event(to(hangs, sink))))
                for sink in ("loki", "http_push")
            ]
            await asyncio.to_thread(hangs.posts.wait_for, 2)
            one_more = to(hangs, "http_push", url=f"{hangs.url}/elsewhere")
            turned_away = await outcome(pipeline, log_event(one_more))
            elsewhere = await outcome(pipeline, log_event(to(answers, "http_push")))
            hanging[0].cancel()
            await asyncio.wait(hanging[:1])
            free_again = asyncio.create_task(outcome(pipeline, log_event(one_more)))
            await asyncio.to_thread(hangs.posts.wait_for, 3)
            for task in (hanging[1], free_again):
                task.cancel()
            await asyncio.wait([hanging[1], free_again])
            return [turned_away, elsewhere]

    yes = b"HTTP/1.1 204 No Content\r\n\r\n"

    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(yes)

    with faulty(in_request) as hangs, faulty(answer) as answers:
        turned_away, elsewhere = asyncio.run(work())
        assert turned_away.failure() == DestinationBusy(f"{hangs.url}/elsewhere", 2)
    assert isinstance(elsewhere, Success)
