"""Starting a real server for the tests, waiting for it, and ending it again."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LOG_TAIL_LINES = 30
TERMINATE_TIMEOUT_S = 5.0


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
    command: Sequence[str | Path], *, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a server in *folder*, and end it, and nothing else, on the way out."""
    log = folder / "server.log"
    with log.open("wb") as output:  # a file: a pipe that nobody empties would stop the server
        popen = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
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


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return different ports of 127.0.0.1 on which nothing listens at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


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
