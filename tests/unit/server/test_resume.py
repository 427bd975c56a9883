"""A stopped child sees the end of a pipe, or what is written to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from sonda.server.resume import CAN_RESUME, resume_on_end

_PATIENCE_S = 20.0
_READ = "import os, sys; sys.exit(len(os.read(int(sys.argv[1]), 9)))"

pytestmark = pytest.mark.skipif(not CAN_RESUME, reason="Linux alone has F_SETSIG")


@contextmanager
def _stopped_reader(read_fd: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that reads once, and stop it; it exits with the number of bytes."""
    process = subprocess.Popen([sys.executable, "-c", _READ, str(read_fd)], pass_fds=(read_fd,))
    try:
        resume_on_end(read_fd, process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


@pytest.mark.parametrize("written", [b"", b"!"])
def test_a_stopped_process_goes_on(written: bytes) -> None:
    """It reads what was written, or that nobody can write any more."""
    read_fd, write_fd = os.pipe()
    try:
        with _stopped_reader(read_fd) as process:
            os.write(write_fd, written)
            if not written:
                os.close(write_fd)
            assert process.wait(_PATIENCE_S) == len(written)
    finally:
        os.close(read_fd)
        if written:
            os.close(write_fd)


def test_a_process_that_has_ended_harms_nothing() -> None:
    """No process has its id, or none is to be resumed."""
    read_fd, write_fd = os.pipe()
    try:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()
        resume_on_end(read_fd, process.pid)
        os.write(write_fd, b"!")
        assert os.read(read_fd, 9) == b"!"
    finally:
        os.close(read_fd)
        os.close(write_fd)
