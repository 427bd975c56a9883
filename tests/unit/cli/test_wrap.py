"""Signals on their way to a wrapped command."""

from __future__ import annotations

import signal
import subprocess
from threading import Event, Timer
from typing import Any

import pytest

from sonda.cli import wrap


class Command:
    """A command that runs until a signal ends it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._ended = Event()

    def send_signal(self, number: int) -> None:
        assert number == signal.SIGINT
        self._ended.set()

    def wait(self) -> int:
        self._ended.wait()
        return 5


def test_a_signal_that_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command gets it all the same, also where it came just before the wait for the command."""
    monkeypatch.setattr(subprocess, "Popen", Command)
    # In a thread of its own the signal interrupts no system call of this one.
    sender = Timer(0.05, signal.raise_signal, [signal.SIGINT])
    sender.start()
    assert wrap.run(["sleep", "infinity"]) == (5, "")
    sender.join()
