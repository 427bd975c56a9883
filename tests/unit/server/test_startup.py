"""What a server needs before anything else: its three descriptors, and which signals stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sonda.server.startup import STOP_SIGNALS, stop_signals, stopping_early


@pytest.fixture
def hang_up() -> Iterator[None]:
    """Put back what SIGHUP did."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_which_signals_stop_it(hang_up: None) -> None:
    """All three, but SIGHUP where it reloads, or where `nohup` has it ignored."""
    without = tuple(number for number in STOP_SIGNALS if number is not signal.SIGHUP)
    assert stop_signals() == STOP_SIGNALS
    assert stop_signals(reloads=True) == without
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert stop_signals() == without


@pytest.mark.parametrize("reloads", [False, True])
def test_early_signals_are_put_back(hang_up: None, reloads: bool) -> None:
    """Each stops the process until there is something to drain; a SIGHUP that reloads is left out."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with stopping_early(reloads=reloads):
        early = signal.getsignal(signal.SIGTERM)
        assert callable(early)
        assert early not in before
        assert (signal.getsignal(signal.SIGHUP) == signal.SIG_IGN) is reloads
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


CODE = """
import os
for closed in {closed}:
    os.close(closed)
from sonda.server.startup import open_standard_descriptors
open_standard_descriptors()
same = [os.fstat(number).st_rdev == os.stat(os.devnull).st_rdev for number in {closed}]
os._exit(0 if all(same) else 1)
"""


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)])
def test_closed_descriptors_are_opened(closed: tuple[int, ...]) -> None:
    """On the null device, so that no socket gets a number that something prints to."""
    done = subprocess.run([sys.executable, "-c", CODE.format(closed=closed)], check=False)
    assert done.returncode == 0
    assert all(os.fstat(number) for number in range(3))


WITHOUT_THREADS = """
import sys, threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
from sonda.server import main
sys.exit(main(["--port", "0"]))
"""


def test_a_server_without_threads_says_so() -> None:
    """It ends with a message and status 1: uvloop's library would abort it."""
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_THREADS], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "CRITICAL sonda: cannot start a thread: " in ended.stderr
    assert "ulimit -u" in ended.stderr
    assert "Traceback" not in ended.stderr
