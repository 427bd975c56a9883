"""The runner's process: how it is executed, and whether one answers."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sonda.server.resume import resume_on_end

if TYPE_CHECKING:
    from sonda.server.scenarios.runner import RunnerSettings


def execute(given: RunnerSettings) -> subprocess.Popen[bytes]:
    """Execute the runner afresh, its settings in its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sonda.server.scenarios.runner"],
        stdin=subprocess.PIPE,
        pass_fds=(given.alive_fd, given.ready_fd),
        start_new_session=True,  # Ctrl-C is for the server, which then ends the runner
    )
    resume_on_end(given.alive_fd, process.pid)
    assert process.stdin is not None  # noqa: S101  # as asked for
    with suppress(BrokenPipeError), process.stdin:  # it has died: it will not say that it is ready
        process.stdin.write(pickle.dumps(given))
    return process


def answers(path: Path) -> bool:
    """Return whether somebody listens at *path*; does not wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # it listens, and has many waiting
            return True
        except OSError:
            return False
    return True
