"""Files and standard output that break under the events: full, gone, rotated, read by nobody."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import pytest
import uvloop

from tests.support.serving import PATIENCE_S, Serving, serving

from .client import client
from .ledger import FEWEST_EVENTS, Ledger
from .oracle import Answer, Oracle, Outcome, Sent, Truth
from .wires import Lines

DELIVERED, _, NEVER_SENT, UNKNOWN = Outcome
ROUNDS: Final = 10
A_ROUND: Final = FEWEST_EVENTS // ROUNDS
FILE_FAULTS: Final = (
    "full disk",
    "deleted",
    "rotated",
    "a folder in its place",
    "its folder is gone",
)
STDOUT_AT_ONCE: Final = 400  # below a destination's share: few rounds, each as long as its timeout
STDOUT_FAULTS: Final = ("reader goes away", "reader pauses", "reader is slow", "full device")
OFFSETS: Final = (
    *(("file", name) for name in FILE_FAULTS),
    *(("stdout", name) for name in STDOUT_FAULTS),
)


def truth_of(*contents: bytes) -> Truth:
    """Read what is there; a line that is not whole is nobody's, but names its event."""
    truth = Truth()
    for content in contents:
        *lines, rest = content.split(b"\n")
        truth.accepted.update(line + b"\n" for line in lines)
        truth.glimpse(content)
        if rest:
            truth.unanswered[rest] += 1
    return truth


@dataclass
class Breaker:
    """What happens to one file, again and again; it keeps hold of all that was ever at the path."""

    path: Path
    random: Random
    kept: dict[int, int] = field(default_factory=dict)
    fired: int = 0

    def hold(self) -> bool:
        """Keep the file that is there now, so that it can be read whatever becomes of its name.

        Return whether it is kept. Only what is kept may be broken: a file that the server
        makes a moment later would be gone unread.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        inode = os.fstat(fd).st_ino
        is_file = self.path.is_file()
        if inode in self.kept or not is_file:
            os.close(fd)
        else:
            self.kept[inode] = fd
        return is_file

    def contents(self) -> Iterator[bytes]:
        """Read everything."""
        self.hold()
        for fd in self.kept.values():
            yield os.pread(fd, os.fstat(fd).st_size, 0)
            os.close(fd)


async def delete(breaker: Breaker, _: Serving) -> None:
    if breaker.hold():
        breaker.path.unlink()
        breaker.fired += 1


async def rotate(breaker: Breaker, _: Serving) -> None:
    if breaker.hold():
        breaker.path.rename(breaker.path.with_name(f"old.{breaker.fired}"))
        breaker.fired += 1


@asynccontextmanager
async def broken_file(
    fault: str, breaker: Breaker, server: Serving, at: int
) -> AsyncIterator[frozenset[Outcome]]:
    """Break the file for one round; gives the outcomes that its events may have."""
    path = breaker.path
    match fault:
        case "full disk":
            size = path.stat().st_size if path.exists() else 0
            limit = size + breaker.random.randrange(2000)
            _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, hard))
            yield frozenset({DELIVERED, NEVER_SENT})
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        case "deleted" | "rotated":
            breaking = asyncio.create_task(again_and_again(fault, breaker, server))
            yield frozenset({DELIVERED})
            breaking.cancel()
        case "a folder in its place":
            breaker.hold()
            path.unlink(missing_ok=True)
            path.mkdir()
            yield frozenset({NEVER_SENT})
            path.rmdir()
        case _:  # its folder is gone, and something else is there
            breaker.hold()
            folder = path.parent.rename(path.parent.with_name(f"gone.{at}"))
            path.parent.write_text("")
            yield frozenset({NEVER_SENT})
            path.parent.unlink()
            folder.rename(path.parent)


async def again_and_again(fault: str, breaker: Breaker, server: Serving) -> None:
    while True:
        await (delete if fault == "deleted" else rotate)(breaker, server)
        await asyncio.sleep(breaker.random.uniform(0.001, 0.01))


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_no_promise_of_a_file_is_broken(
    fault: str, tmp_path: Path, random: Random, ledger: Ledger
) -> None:
    """Each event is there whole and once, or not at all; the answer says which."""

    async def work(server: Serving) -> None:
        wire = Lines(random)
        breaker = Breaker(tmp_path / "sub" / "events.log", random)
        sinks = ({"type": "file", "path": "sub/events.log"}, {"fsync": True})
        ways = (sinks[0], {**sinks[0], **sinks[1]})
        asked: list[tuple[Sent, Answer]] = []
        impossible: list[str] = []

        async with client(server.port) as posting:

            async def send() -> tuple[Sent, Answer]:
                sent = wire.event(ways[random.random() < 0.2])
                return sent, await posting.post(sent.document)

            await send()  # so that there is a file
            for at in range(ROUNDS):
                async with broken_file(fault, breaker, server, at) as possible:
                    round_ = await asyncio.gather(*(send() for _ in range(A_ROUND)))
                asked += round_
                impossible += [
                    f"{sent.name}: {answer.document}"
                    for sent, answer in round_
                    if answer.outcome not in possible
                ]
                breaker.hold()
            healthy = [await send() for _ in range(2)]
        truth = truth_of(*breaker.contents())
        truth.fired = breaker.fired or sum(answer.status != 200 for _, answer in asked)
        oracle = Oracle(truth, asked)
        ledger.record(("file", fault), oracle.row())
        assert impossible == []
        assert oracle.broken() == []
        assert Oracle(truth, healthy).broken({DELIVERED}) == []
        unknown_to_us = oracle.strangers({sent.arrives for sent, _ in healthy})
        assert len(unknown_to_us) <= 1  # the first event

    with serving("--file-root", str(tmp_path)) as server:
        uvloop.run(work(server))
        assert server.stop() == 0
        assert "Traceback" not in server.log


class Reader:
    """Reads the other end of the server's standard output, in a thread."""

    def __init__(self, fd: int, random: Random) -> None:
        self.read = bytearray()
        self.go_on = threading.Event()
        self._fd = fd
        self._random = random
        self._thread: threading.Thread | None = None

    def start(self, how: Callable[[], None]) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=how)
        self._thread.start()

    def take(self, count: int) -> bool:
        """Read some; false at the end."""
        received = os.read(self._fd, count)
        self.read += received
        return bool(received)

    def all(self) -> None:
        """Read to the end."""
        while self.take(1 << 16):
            pass

    def slowly(self) -> None:
        """Read a little at a time."""
        while self.take(self._random.randrange(1, 2000)):
            self.go_on.wait(0.001)

    def late(self) -> None:
        """Read once it is time to, and then all."""
        self.go_on.wait(PATIENCE_S)
        self.all()

    def some(self) -> None:
        """Read a part, and go away."""
        enough = self._random.randrange(20_000, 60_000)
        while len(self.read) < enough and self.take(self._random.randrange(1, 3000)):
            pass
        os.close(self._fd)

    def join(self) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join()


async def post_lines(server: Serving, wire: Lines, count: int) -> list[tuple[Sent, Answer]]:
    async with client(server.port, at_once=STDOUT_AT_ONCE) as posting:

        async def send() -> tuple[Sent, Answer]:
            sent = wire.event({"type": "stdout"})
            return sent, await posting.post(sent.document)

        return list(await asyncio.gather(*(send() for _ in range(count))))


READERS: Final[dict[str, tuple[str, tuple[Outcome, ...]]]] = {
    "reader goes away": ("some", (DELIVERED, NEVER_SENT, UNKNOWN)),
    "reader pauses": ("late", (DELIVERED, NEVER_SENT, UNKNOWN)),
    "reader is slow": ("slowly", (DELIVERED,)),
}


@pytest.mark.parametrize("fault", READERS)
def test_no_promise_of_stdout_is_broken(fault: str, random: Random, ledger: Ledger) -> None:
    """A reader that reads to the end finds each delivered line; what was never sent, nobody does."""
    how, outcomes = READERS[fault]
    reading, writing = os.pipe()
    reader = Reader(reading, random)
    wire = Lines(random)
    reader.start(getattr(reader, how))
    timeout = "5" if fault == "reader pauses" else "60"  # enough, on a busy machine, once it reads
    count = max(2 * FEWEST_EVENTS, 1000)  # more than the reader takes and the pipe holds
    with serving("--request-timeout", timeout, pipe=writing) as server:
        os.close(writing)
        asked = uvloop.run(post_lines(server, wire, count))
        reader.go_on.set()
        later: list[tuple[Sent, Answer]] = []
        if fault != "reader goes away":
            later = uvloop.run(post_lines(server, wire, 1))
        assert server.stop() == 0
        assert "Traceback" not in server.log
    reader.join()
    if fault != "reader goes away":
        os.close(reading)
    truth = truth_of(bytes(reader.read))
    bad = sum(answer.status != 200 for _, answer in asked)
    truth.fired = bad or count
    oracle = Oracle(truth, asked)
    ledger.record(("stdout", fault), oracle.row())
    loses = fault == "reader goes away"
    assert oracle.broken(outcomes, target="stdout", loses=loses) == []
    assert Oracle(truth, later).broken({DELIVERED}) == []
    strangers = oracle.strangers({sent.arrives for sent, _ in later})
    if loses:  # what was read ends within a line
        strangers = [text for text in strangers if text.endswith("\\n'")]
        assert bad > 0
    assert strangers == []


def test_a_full_device_has_nothing(random: Random, ledger: Ledger) -> None:
    """Where nothing can be written all is refused, and the server goes on."""
    full = os.open("/dev/full", os.O_WRONLY)
    with serving(pipe=full) as server:
        os.close(full)
        asked = uvloop.run(post_lines(server, Lines(random), FEWEST_EVENTS))
        assert server.stop() == 0
    oracle = Oracle(Truth(fired=len(asked)), asked)
    ledger.record(("stdout", "full device"), oracle.row())
    assert oracle.broken({NEVER_SENT}) == []
    assert Counter(answer.document["detail"] for _, answer in asked) == {
        "sink error: write to stdout: No space left on device": FEWEST_EVENTS
    }
