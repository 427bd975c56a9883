"""A request on a kept connection: sent in its caller's turn, and its answer read by no task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx
import pytest

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net import Network
from sonda.pipeline.net import pool as pools
from sonda.pipeline.net.batch import AllWithdrawn
from sonda.pipeline.net.http1 import HttpRequest, Resource
from sonda.pipeline.net.http1_response import Answer, BadAnswer
from sonda.pipeline.net.resolve import Resolver
from tests.support.mock_stream import MockSocket
from tests.support.virtual_time import run_virtually

URL: Final = httpx.URL("http://192.0.2.1/x")
NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


class Scene:
    """A network of memory that keeps one connection, and what has ended on it."""

    def __init__(self, network: Network, sock: MockSocket, resource: Resource) -> None:
        self.network = network
        self.sock = sock
        self.resource = resource
        self.attempt = Attempt()
        self.ended: list[Answer | OSError] = []

    def begin(self, body: Callable[[], bytes] = lambda: b"body") -> Callable[[], object] | None:
        """Begin a request; what it ends with is kept."""
        limit = Deadline.within(10)
        request = HttpRequest(self.resource, body, self.attempt, limit, lambda status: status < 300)
        return self.network.http.begin(request, self.ended.append)

    async def end(self) -> None:
        """Wait until the request has ended."""
        while not self.ended:  # noqa: ASYNC110  # there is no event for what a list keeps
            await asyncio.sleep(0)

    def feed(self, received: bytes) -> None:
        """Let the peer say something."""
        assert self.sock.listener is not None
        self.sock.listener.feed(received)

    @property
    def kept(self) -> int:
        """How many connections are idle."""
        return len(self.network.pool._idle)

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers."""
        return [answer.status for answer in self.ended if isinstance(answer, Answer)]


def play(work: Callable[[Scene], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do *work* with one kept connection; nothing is left under way, and no place is taken."""

    async def connect(_addresses: Sequence[object]) -> MockSocket:
        return MockSocket()

    async def find(self: Resolver, *_asked: object) -> list[object]:
        return []

    monkeypatch.setattr(pools, "connect_tcp", connect)
    monkeypatch.setattr(Resolver, "find", find)

    async def main() -> None:
        network = Network()
        resource = network.http.resource("loki", "POST", URL, httpx.Headers(), None)
        await network.pool.use(resource.key, lambda _: asyncio.sleep(0), Attempt())
        (stream,) = network.pool._idle
        assert isinstance(stream.plain, MockSocket)
        scene = Scene(network, stream.plain, resource)
        await work(scene)
        for known in network.pool._destinations.values():
            assert known.places._value == pools.CONNECTIONS_PER_DESTINATION
        assert network.pool.timeouts.limits == {}
        await network.aclose()

    run_virtually(main())


def test_the_answer_is_read_where_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request leaves at once; the answer ends it, and the connection is kept."""

    async def work(scene: Scene) -> None:
        assert scene.begin() is not None
        assert bytes(scene.sock.written).endswith(b"Content-Length: 4\r\n\r\nbody")
        assert (scene.attempt.has_left, scene.attempt.reused) == (True, True)
        assert scene.kept == 0
        scene.feed(NO_CONTENT[:9])
        assert scene.ended == []
        scene.feed(NO_CONTENT[9:])
        assert scene.statuses == [204]
        assert scene.sock.listener is None
        assert scene.kept == 1

    play(work, monkeypatch)


@pytest.mark.parametrize(("size_bytes", "kept"), [(4, 1), (100_000, 0)])
def test_an_answer_to_what_has_not_arrived(
    size_bytes: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came early: the connection is closed, and nobody waits for the rest of it to arrive."""

    async def work(scene: Scene) -> None:
        scene.sock.unacked = True
        scene.begin(lambda: b"x" * size_bytes)
        scene.feed(NO_CONTENT)
        assert scene.statuses == [204]
        assert scene.kept == kept

    play(work, monkeypatch)


def test_a_second_one_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no kept connection is idle for is left to who can wait for one."""

    async def work(scene: Scene) -> None:
        scene.begin()
        assert scene.begin() is None
        scene.feed(REFUSED)
        assert scene.statuses == [400]

    play(work, monkeypatch)


def test_the_rest_is_sent_by_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel does not take at once follows, and nothing of it twice."""

    async def work(scene: Scene) -> None:
        scene.sock.at_once = 10
        assert scene.begin() is not None
        scene.sock.incoming = [NO_CONTENT]
        assert len(scene.sock.written) == 10
        await scene.end()
        assert scene.statuses == [204]
        assert scene.sock.written.count(b"POST /x") == 1
        assert scene.sock.written.endswith(b"\r\n\r\nbody")
        assert scene.kept == 1

    play(work, monkeypatch)


def test_the_rest_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of the request has left, and no answer comes."""

    async def work(scene: Scene) -> None:
        scene.sock.at_once = scene.sock.ends_after = 10
        scene.begin()
        await scene.end()
        (failure,) = scene.ended
        assert isinstance(failure, ConnectionResetError)
        assert scene.attempt.sent_bytes == 10
        assert scene.sock.is_closed

    play(work, monkeypatch)


def test_what_takes_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that takes no byte goes back, for who may wait for it."""

    async def work(scene: Scene) -> None:
        scene.sock.at_once = 0
        assert scene.begin() is None
        assert not scene.attempt.has_left
        assert scene.kept == 1
        assert scene.ended == []

    play(work, monkeypatch)


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n"], ids=["the end", "nonsense"])
def test_no_answer_ends_the_connection(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stream ends without an answer, or holds another protocol, it is not kept."""

    async def work(scene: Scene) -> None:
        scene.begin()
        scene.feed(said)
        (failure,) = scene.ended
        assert isinstance(failure, BadAnswer)
        assert scene.attempt.has_left
        assert scene.sock.is_closed
        assert scene.kept == 0

    play(work, monkeypatch)


def test_the_deadline_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that says nothing is hung up on once the time is over."""

    async def work(scene: Scene) -> None:
        scene.begin()
        await asyncio.sleep(9)
        assert scene.ended == []
        await asyncio.sleep(2)
        (failure,) = scene.ended
        assert isinstance(failure, TimeoutError)
        assert scene.sock.is_closed

    play(work, monkeypatch)


def test_nobody_waits_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abandoned request ends its connection, and tells nobody."""

    async def work(scene: Scene) -> None:
        abandon = scene.begin()
        assert abandon is not None
        abandon()
        assert scene.ended == []
        assert scene.sock.is_closed
        abandon()  # once more does nothing

    play(work, monkeypatch)


def test_closing_the_network_abandons_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is hung up on."""

    async def work(scene: Scene) -> None:
        scene.begin()
        await scene.network.aclose()
        assert scene.ended == []
        assert scene.sock.is_closed

    play(work, monkeypatch)


def test_events_that_were_withdrawn_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes back as it was."""

    def withdrawn() -> bytes:
        raise AllWithdrawn

    async def work(scene: Scene) -> None:
        with pytest.raises(AllWithdrawn):
            scene.begin(withdrawn)
        assert scene.sock.written == b""
        assert scene.kept == 1

    play(work, monkeypatch)


def test_an_answer_that_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Connection: close` is obeyed."""

    async def work(scene: Scene) -> None:
        scene.begin()
        scene.feed(NO_CONTENT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert scene.statuses == [204]
        assert scene.sock.is_closed
        assert scene.kept == 0

    play(work, monkeypatch)
