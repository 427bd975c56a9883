"""A stopped process is resumed when the one that holds a pipe's other end has gone."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from typing import Final

CAN_RESUME: Final = hasattr(fcntl, "F_SETSIG")
"""Whether the system can: Linux. Elsewhere a stopped process stays until it gets SIGCONT."""


def resume_on_end(read_fd: int, pid: int) -> None:
    """Let the kernel send SIGCONT to process *pid* when *read_fd* has something to read, or its end.

    A process that SIGSTOP holds cannot see that its parent was killed, and would stay for ever. To one
    that runs SIGCONT does nothing. The setting is the pipe's, not the descriptor's: the last *pid* counts.
    """
    if CAN_RESUME:
        with suppress(OSError):  # the process has ended
            fcntl.fcntl(read_fd, fcntl.F_SETSIG, signal.SIGCONT)
            fcntl.fcntl(read_fd, fcntl.F_SETOWN, pid)
            flags = fcntl.fcntl(read_fd, fcntl.F_GETFL)
            fcntl.fcntl(read_fd, fcntl.F_SETFL, flags | os.O_ASYNC)
