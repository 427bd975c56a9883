"""Which writes are sure not to wait."""

from __future__ import annotations

import asyncio
import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net import writes
from sonda.pipeline.net.blocking_writers import WriteQueue
from sonda.pipeline.net.write_requests import WouldWait, WriteRequest
from sonda.pipeline.net.writes import WriteBatch, check_room, write
from sonda.pipeline.problems import Problem, Unreachable


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe: the end to read from, and the one to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def is_sure(fd: int) -> bool:
    try:
        check_room(fd, os.fstat(fd))
    except WouldWait:
        return False
    return True


def test_a_pipe_takes_an_event_while_it_has_much_room(pipe: tuple[int, int]) -> None:
    """Not a full one, nor one that is half full: what a program has printed may come first."""
    reader, writer = pipe
    assert is_sure(writer)
    os.write(writer, b"x" * 32768)
    assert not is_sure(writer)
    os.read(reader, 32768)
    assert is_sure(writer)


class Alone:
    """A destination that is written to in this thread."""

    target = "here"
    confirmed = Confirmed.HANDED_OFF
    needs_thread = False

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        write(self._fd, batch, os.fstat(self._fd))
        return Success(None)


def written_at_once(fd: int, body: bytes) -> bool:
    """Write an event to a descriptor unless that may wait."""
    writer = Alone(fd)
    queue = WriteQueue(writer, needs_thread=False)
    request = WriteRequest(writer, body, 1)
    queue.join(request)
    is_written = WriteBatch(queue, [request], may_wait=False).run()
    assert (request in queue.waiting) is not is_written
    return is_written


def test_a_long_event_may_wait_for_the_reader(pipe: tuple[int, int]) -> None:
    """Only up to `PIPE_BUF` bytes go into a pipe in one piece."""
    reader, writer = pipe
    assert not written_at_once(writer, b"x" * (select.PIPE_BUF + 1))
    assert written_at_once(writer, b"y" * select.PIPE_BUF)
    assert os.read(reader, 1 << 16) == b"y" * select.PIPE_BUF


def test_a_file_takes_an_event_but_no_large_one(tmp_path: Path) -> None:
    """The system's cache takes it."""
    with (tmp_path / "x").open("wb") as file:
        assert is_sure(file.fileno())
        assert written_at_once(file.fileno(), b"y" * 1000)
        assert not written_at_once(file.fileno(), b"x" * (1 << 20))
    assert (tmp_path / "x").read_bytes() == b"y" * 1000


def test_of_what_is_neither_nothing_is_known() -> None:
    """A terminal or a device may wait for its user."""
    with Path(os.devnull).open("wb") as device:
        assert not is_sure(device.fileno())


@pytest.mark.parametrize("tells", [True, False])
def test_a_file_is_closed_once_more_where_that_may_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    """A network file system may say only then that it has not taken the event."""

    def failing(_: int) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(writes, "tells_at_close", lambda _: tells)
    monkeypatch.setattr(os, "dup", failing)
    with (tmp_path / "out").open("wb", buffering=0) as out:
        writer = Alone(out.fileno())
        queue = WriteQueue(writer, needs_thread=False)
        request = WriteRequest(writer, b"event\n", 1)
        queue.join(request)
        assert WriteBatch(queue, [request], may_wait=False).run()
    failed = Failure(Unreachable("write to here", os.strerror(errno.EDQUOT), is_final=True))
    assert asyncio.run(request.wait()) == (failed if tells else Success(Ack(Confirmed.HANDED_OFF)))
    assert (tmp_path / "out").read_bytes() == (b"" if tells else b"event\n")
