"""Look-ups in threads are shared and bounded, whichever event loops they are for."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator

import pytest

from sonda.pipeline.net import look_up_threads
from sonda.pipeline.net.look_up_threads import LookUpThreads


class Server:
    """A name server that answers when it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = 0
        self._changed = threading.Condition()
        self.error: OSError | None = None

    def look_up(self) -> str:
        with self._changed:
            self.asked += 1
            self._changed.notify_all()
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        return "found"

    def has_been_asked(self, times: int) -> bool:
        """Return whether it was asked so often, once it was: a thread starts when it can."""
        with self._changed:
            self._changed.wait_for(lambda: self.asked >= times, 60)
            return self.asked == times


@pytest.fixture
def server() -> Iterator[Server]:
    """Leave no thread behind."""
    made = Server()
    yield made
    made.gate.set()


def give_up(threads: LookUpThreads, server: Server, key: str = "name") -> None:
    """Ask on a loop of its own, and wait no longer than until it is under way."""

    async def main() -> None:
        asking = asyncio.create_task(threads.find(key, server.look_up))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())


def test_loops_one_after_the_other_share_a_look_up(server: Server) -> None:
    """A call that gives up leaves one thread, however often it is made."""
    threads = LookUpThreads()
    for _ in range(20):
        give_up(threads, server)
    assert server.has_been_asked(1)
    assert len(threads._under_way) == 1

    async def last() -> str:
        asking = asyncio.create_task(threads.find("name", server.look_up))
        await asyncio.sleep(0)
        server.gate.set()
        found: str = await asking
        return found

    assert asyncio.run(last()) == "found"
    assert server.asked == 1
    assert threads._under_way == {}


def test_what_was_looked_up_is_not_kept(server: Server) -> None:
    """The next one asks anew, and an error is everybody's own."""
    threads = LookUpThreads()
    server.gate.set()
    assert asyncio.run(threads.find("name", server.look_up)) == "found"
    server.error = OSError(errno.EIO, "no")
    with pytest.raises(OSError, match="no"):
        asyncio.run(threads.find("name", server.look_up))
    assert server.asked == 2


def test_they_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound there is no thread to be had, in the operating system's words."""
    monkeypatch.setattr(look_up_threads, "THREADS", 3)
    threads = LookUpThreads()
    for number in range(3):
        give_up(threads, server, str(number))
    with pytest.raises(OSError, match=os.strerror(errno.EAGAIN)):
        asyncio.run(threads.find("one more", server.look_up))
    give_up(threads, server, "1")  # is under way already
    assert server.has_been_asked(3)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left that others could wait for in vain."""

    def refuse(_: object) -> None:
        raise OSError(errno.EAGAIN, "none")

    threads = LookUpThreads()
    monkeypatch.setattr(look_up_threads, "start_daemon", refuse)
    with pytest.raises(OSError, match="none"):
        asyncio.run(threads.find("name", str))
    assert threads._under_way == {}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
def test_a_fork_waits_for_none_of_its_parents_threads(server: Server) -> None:
    """They are not there: the child looks up for itself."""
    threads = LookUpThreads()
    give_up(threads, server)
    if not (child := os.fork()):
        try:
            found = asyncio.run(threads.find("name", lambda: "its own"))
            os._exit(0 if found == "its own" else 1)
        finally:  # or it would go on as a second test run
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
