"""The log's writer, on a pipe that is read, or is not."""

from __future__ import annotations

import os
import select
import signal
import threading
from pathlib import Path

from sonda.observe.log_writer import MAX_WAITING_BYTES, LogWriter

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
    before = {thread.native_id for thread in threading.enumerate()}
    LogWriter(writable).write([LINE])
    (thread,) = (t for t in threading.enumerate() if t.native_id not in before)
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    assert blocked & 1 << (signal.SIGTERM - 1)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.close(readable)
    os.close(writable)
