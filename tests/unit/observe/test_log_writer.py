"""The log's writer, on a pipe that is read, or is not."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from math import inf
from pathlib import Path

import pytest

from sonda.observe import log_writer
from sonda.observe.log_writer import MAX_WAITING_BYTES, LogWriter
from tests.support.virtual_time import run_virtually

LINE = b"x" * 999 + b"\n"


def test_lines_are_written_in_order() -> None:
    """All of them, a few together where they fit into one system call."""
    readable, writable = os.pipe()
    writer = LogWriter(writable)
    lines = [b"%d\n" % n for n in range(1000)]
    for line in lines:
        writer.write([line])
    assert writer.flush(10)
    assert os.read(readable, 65536) == b"".join(lines)
    os.close(readable)
    os.close(writable)


def test_nobody_reads() -> None:
    """Writing never waits; what does not fit is counted, and said once somebody reads."""
    readable, writable = os.pipe()
    writer = LogWriter(writable)
    lost: list[int] = []
    writer.dropped = lost.append
    for _ in range(3 * MAX_WAITING_BYTES // len(LINE)):
        writer.write([LINE])
    assert sum(lost) >= MAX_WAITING_BYTES // len(LINE)
    assert not writer.flush(0.0)
    read = b""
    while not writer.flush(0.0) or select.select([readable], [], [], 0)[0]:
        read += os.read(readable, 65536)
    assert b"... %d lines of the log were dropped" % sum(lost) in read
    assert read.count(LINE) == 3 * MAX_WAITING_BYTES // len(LINE) - sum(lost)
    os.close(readable)
    os.close(writable)


def test_a_closed_descriptor_loses_lines() -> None:
    """Nothing is raised where nobody can read, and nothing waits."""
    readable, writable = os.pipe()
    os.close(readable)
    writer = LogWriter(writable)
    writer.write([LINE])
    assert writer.flush(10)
    os.close(writable)


def test_no_signal_is_delivered_to_the_writers_thread() -> None:
    """It would interrupt the main thread, even where that blocks signals for a while."""
    readable, writable = os.pipe()
    os.write(writable, bytes(65536))  # there is no room for a line: the thread has to wait
    before = {thread.native_id for thread in threading.enumerate()}
    writer = LogWriter(writable)
    writer.write([LINE])
    (thread,) = (t for t in threading.enumerate() if t.native_id not in before)
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    assert blocked & 1 << (signal.SIGTERM - 1)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.close(readable)
    assert writer.flush(60)  # or the thread would write to the next pipe with this number
    os.close(writable)


def test_what_nothing_waits_for_needs_no_thread(tmp_path: Path) -> None:
    """A regular file, and a pipe with room, take lines at once."""
    before = set(threading.enumerate())
    with (tmp_path / "log").open("wb") as file:
        LogWriter(file.fileno()).write([LINE, LINE])
    readable, writable = os.pipe()
    LogWriter(writable).write([LINE, LINE])
    assert (tmp_path / "log").read_bytes() == os.read(readable, 65536) == 2 * LINE
    assert before.issuperset(threading.enumerate())  # another test's may have ended meanwhile
    os.close(readable)
    os.close(writable)


def test_a_slow_disk_keeps_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After a write that took long a thread does the next ones."""
    writers = []
    write = os.write

    def noting(fd: int, data: bytes) -> int:
        writers.append(threading.current_thread().name)
        return write(fd, data)

    monkeypatch.setattr(os, "write", noting)
    monkeypatch.setattr(log_writer, "_SLOW_S", 0.0)
    with (tmp_path / "log").open("wb") as file:
        writer = LogWriter(file.fileno())
        writer.write([LINE])
        writer.write([LINE])
        assert writer.flush(10)
    assert writers == ["MainThread", "sonda-log"]


def test_lines_of_a_loop_leave_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added within a few milliseconds is one write; a loop that ends first loses nothing."""
    monkeypatch.setattr(log_writer, "_SLOW_S", inf)  # a slow disk's lines leave by the thread
    path = tmp_path / "log"

    async def add(*lines: str) -> bytes:
        for line in lines:
            writer.add(line)
        before = path.read_bytes()
        await asyncio.sleep(0.02 if len(lines) > 1 else 0)
        return before

    with path.open("wb") as file:
        writer = LogWriter(file.fileno())
        assert run_virtually(add("a", "b")) == b""
        assert path.read_bytes() == b"a\nb\n"
        assert run_virtually(add("c")) == b"a\nb\n"
        assert run_virtually(add("d", "e")) == b"a\nb\n"
        assert writer.flush(10)
        writer.add("f")
    assert path.read_bytes() == b"a\nb\nc\nd\ne\nf\n"
