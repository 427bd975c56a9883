"""System calls of the server, and how often its event loop wakes up, counted by `strace`."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WAITS: Final = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
ENDS_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """So many for each event; a wake-up is a return from the loop's wait for input."""

    calls: float
    wake_ups: float


@contextmanager
def counting(pid: int, report: Path) -> Iterator[bool]:
    """Count the calls of a process and its threads; gives whether this machine lets us."""
    strace = shutil.which("strace")
    if strace is None:
        yield False
        return
    command = (strace, "-f", "-c", "-o", str(report), "-p", str(pid))
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        attached = b"attached" in tracer.stderr.readline()
        try:
            yield attached
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=ENDS_WITHIN_S)


def per_event(report: str, events: int) -> SystemCalls:
    """Read the table of `strace -c`: seconds, calls and the name, which comes last."""
    calls = {}
    for line in report.splitlines():
        words = line.split()
        if len(words) > 4 and words[3].isdigit() and words[-1] != "total":  # noqa: PLR2004
            calls[words[-1]] = int(words[3])
    waits = sum(calls.get(name, 0) for name in WAITS)
    return SystemCalls(sum(calls.values()) / events, waits / events)
