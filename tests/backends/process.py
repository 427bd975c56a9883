"""Starting a real server for the tests, waiting for it, and ending it again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

LOG_TAIL_LINES = 30
TERMINATE_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 30.0


class NotReadyError(Exception):
    """A server ended, or was not ready in time; the text ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """A server that runs, and the file that holds everything it has printed."""

    popen: subprocess.Popen[bytes]
    log: Path

    def log_tail(self) -> str:
        """Return the last lines that the server has printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "(it has printed nothing)"

    def wait_for_log(self, pattern: re.Pattern[str], *, timeout_s: float) -> re.Match[str]:
        """Return the first match in what it has printed, once there is one; else as `wait_until`."""

        def look() -> re.Match[str] | None:
            return pattern.search(self.log.read_text(encoding="utf-8", errors="replace"))

        self.wait_until(
            lambda: look() is not None, timeout_s=timeout_s, what=f"it prints {pattern.pattern}"
        )
        match = look()
        assert match
        return match

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(STOP_TIMEOUT_S)

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        """Return once *ready* says so; raises `NotReadyError` if it ends or time is over."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if (code := self.popen.poll()) is not None:
                raise NotReadyError(f"ended with {code} before {what}; its log:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"not within {timeout_s:g} s: {what}; its log:\n{self.log_tail()}"
                )
            time.sleep(0.02)


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
) -> Iterator[Process]:
    """Run a server in *folder*, and end it, and nothing else, on the way out.

    What it prints is in its log, but for *stdout* if that is given.
    """
    log = folder / "server.log"
    with log.open("wb") as output:  # a file: a pipe that nobody empties would stop the server
        popen = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for pytest, which then ends the server
        )
    try:
        yield Process(popen, log)
    finally:
        popen.terminate()
        try:
            popen.wait(TERMINATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def with_free_ports(start: Callable[[], T], *, tries: int = 3) -> T:
    """Start a server on free ports, and again if another program was quicker to take one."""
    while True:
        tries -= 1
        try:
            return start()
        except NotReadyError as exc:
            if not tries or "address already in use" not in str(exc).lower():
                raise


def poll(look: Callable[[], list[T]], *, count: int, timeout_s: float, process: Process) -> list[T]:
    """Return what *look* finds once it is *count* or more; fails the test if it stays fewer."""
    deadline = time.monotonic() + timeout_s
    while len(found := look()) < count:
        if time.monotonic() > deadline:
            shown = "\n".join(map(repr, found)) or "nothing"
            shortage = f"found {len(found)} of {count} within {timeout_s:g} s"
            raise AssertionError(f"{shortage}:\n{shown}\nthe server's log:\n{process.log_tail()}")
        time.sleep(0.05)
    return found
