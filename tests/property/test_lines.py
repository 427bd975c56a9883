"""The law of shared writes: a yes is there whole and once, a no is not there at all."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.sinks.file import SINK, File, open_writer
from tests.support.events import record

Verdict: TypeAlias = Result[Ack, Problem] | None  # of one that was cancelled there is none

LONG_S: Final = 30.0
END: Final = b"end\n"


@dataclass(frozen=True)
class Sending:
    """One event: its length, when it is sent, and how patient its sender is."""

    length: int
    fsync: bool
    after_s: float
    within_s: float
    cancelled_after_s: float | None


sendings: Final = st.lists(
    st.builds(
        Sending,
        length=st.sampled_from([10, 10, 500, 5_000, 70_000]),
        fsync=st.booleans(),
        after_s=st.sampled_from([0.0, 0.0, 0.001, 0.003]),
        within_s=st.sampled_from([LONG_S, LONG_S, LONG_S, 0.0, 0.001, 0.005]),
        cancelled_after_s=st.sampled_from([None, None, None, 0.0, 0.001]),
    ),
    min_size=1,
    max_size=40,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder that all examples share."""
    return tmp_path_factory.mktemp("lines")


async def send(path: Path, body: bytes, *, fsync: bool, within_s: float = LONG_S) -> Verdict:
    """Push and flush one event."""
    payload = Payload(record(time_ns=1), "json_lines", "application/x-ndjson", body)
    options = File(path=str(path), fsync=fsync)
    writer = open_writer(options, Network())
    pushed = await SINK.push(payload, writer, Network(), Deadline.within(within_s))
    return await then(pushed, lambda pending: pending())


def send_all(path: Path, events: dict[bytes, Sending], *, fsync: bool) -> dict[bytes, Verdict]:
    """Send events at once from two event loops, and one more when all have their verdicts."""

    async def send_one(body: bytes) -> Verdict:
        sending = events[body]
        await asyncio.sleep(sending.after_s)
        durable = fsync and sending.fsync
        task = asyncio.ensure_future(send(path, body, fsync=durable, within_s=sending.within_s))
        await asyncio.wait([task], timeout=sending.cancelled_after_s)
        if sending.cancelled_after_s is not None:
            task.cancel()
            await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    async def send_some(bodies: list[bytes]) -> list[Verdict]:
        return await asyncio.gather(*map(send_one, bodies))

    halves = list(events)[::2], list(events)[1::2]
    with ThreadPoolExecutor(len(halves)) as pool:
        told = pool.map(lambda half: asyncio.run(send_some(half)), halves)
        return dict(zip(chain(*halves), chain(*told), strict=True))


def bodies_of(events: list[Sending]) -> dict[bytes, Sending]:
    """Give each event a line of its own."""
    return {b"%d %b\n" % (n, b"x" * each.length): each for n, each in enumerate(events)}


def hold(written: bytes, verdicts: dict[bytes, Verdict]) -> None:
    """Check the law: every line is one of the events, none comes twice, and no verdict lies."""
    lines = Counter(written.splitlines(keepends=True))
    assert lines <= Counter(list(verdicts))
    for body, verdict in verdicts.items():
        match verdict:
            case Success():
                assert lines[body] == 1
            case Failure(problem):
                assert isinstance(problem, Unreachable | OutcomeUnknown)
                assert isinstance(problem, OutcomeUnknown) or lines[body] == 0


@contextmanager
def faults(seed: int) -> Iterator[None]:
    """Let the disk be full now and then, or almost, or tell so only when it is flushed."""
    chance = random.Random(seed)  # noqa: S311  # a test wants it reproducible
    write, dup, fsync = os.write, os.dup, os.fsync

    def write_some(fd: int, body: bytes) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            match chance.randrange(6):
                case 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                case 1 | 2:
                    return write(fd, body[: chance.randint(1, len(body))])
        return write(fd, body)

    def maybe(call: Callable[[int], Any]) -> Callable[[int], Any]:
        def flush(fd: int) -> Any:
            if stat.S_ISREG(os.fstat(fd).st_mode) and chance.randrange(6) == 0:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            return call(fd)

        return flush

    with (
        patch.object(os, "write", write_some),
        patch.object(os, "dup", maybe(dup)),
        patch.object(os, "fsync", maybe(fsync)),
    ):
        yield


@settings(deadline=None, max_examples=60)
@given(events=sendings, seed=st.integers(0, 2**32))
def test_a_file_on_a_disk_that_fills_up(folder: Path, events: list[Sending], seed: int) -> None:
    """Whatever fails and whoever gives up, the file holds what was confirmed and no torn line."""
    file = folder / "x.log"
    file.unlink(missing_ok=True)
    with faults(seed):
        verdicts = send_all(file, bodies_of(events), fsync=True)
    verdicts[END] = asyncio.run(send(file, END, fsync=False))  # behind all that nobody waits for
    hold(file.read_bytes(), verdicts)


@settings(deadline=None, max_examples=60)
@given(events=sendings)
def test_a_pipe(folder: Path, events: list[Sending]) -> None:
    """Whoever gives up, a reader gets what was confirmed, and no torn line."""
    fifo = folder / "fifo"
    if not fifo.exists():
        os.mkfifo(fifo)

    def read() -> bytes:
        read = b""
        while not read.endswith(END):
            read += os.read(reader, 4096)
        return read

    reader = os.open(fifo, os.O_RDWR)  # as a writer, too, it never sees the end
    try:
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            verdicts = send_all(fifo, bodies_of(events), fsync=False)
            verdicts[END] = asyncio.run(send(fifo, END, fsync=False))
            hold(reading.result(), verdicts)
    finally:
        os.close(reader)
