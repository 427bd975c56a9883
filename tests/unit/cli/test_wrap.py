"""Signals on their way to a wrapped command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from sonda.cli import wrap


class Command:
    """A command that runs until a signal ends it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._interrupts, self._ended = True, Event()

    def send_signal(self, number: int) -> None:
        assert number == signal.SIGINT
        self._ended.set()

    def wait(self) -> int:
        if self._interrupts:
            self._interrupts = False
            # In this thread, the command's own, it interrupts no system call of the main one.
            signal.raise_signal(signal.SIGINT)
        self._ended.wait()
        return 5


def test_a_signal_that_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command gets it all the same, also where it came just before the wait for the command."""
    monkeypatch.setattr(subprocess, "Popen", Command)
    assert wrap.run(["sleep", "infinity"]) == (5, "")


def test_a_slow_machine_loses_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command has written is passed on, however late it is read."""
    really_read = os.read

    def read_late(fd: int, count: int) -> bytes:
        time.sleep(20 * wrap._LINGER_S)  # the command has ended by then, and the linger is over
        return really_read(fd, count)

    monkeypatch.setattr(wrap, "_LINGER_S", 0.01)
    monkeypatch.setattr(wrap, "os", SimpleNamespace(pipe=os.pipe, close=os.close, read=read_late))
    assert wrap.run([sys.executable, "-c", "print('a')\nprint('last')"]) == (0, "last")
