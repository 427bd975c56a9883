"""Where the runner of a server lives: a private folder, and a pipe that says whether the server does."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from sonda.server.scenarios.ownership import is_owned, kill_owner

_LOOK_S: Final = 0.02
_STUCK_S: Final = (
    1.5  # beyond what a drain may take; the server's own last resort is a little later
)


class RunnerHome:
    """The private folder of a server's runner, made before its workers are forked.

    Every process of the server holds the write end of a pipe: when the last has gone, the runner
    ends.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sonda-runner-"))
        self.socket = self.folder / "s"
        self.alive_fd, self._held_fd = os.pipe()
        self._owner_pid = os.getpid()
        self._told_s: float | None = None

    def end(self) -> None:
        """Let the runner know that the server ends, so that it drains its runs meanwhile."""
        self._told_s = time.monotonic()
        with suppress(OSError):
            os.write(self._held_fd, b"!")

    def close(self, state_dir: Path | None = None, patience_s: float = 0.0) -> None:
        """Wait until the runner has ended, and remove the folder. For the process that made it.

        It has *patience_s*, and a little more, to drain its runs; one that is stuck is killed then.
        """
        if os.getpid() == self._owner_pid:
            for fd in (self._held_fd, self.alive_fd):
                with suppress(OSError):
                    os.close(fd)
            owned = state_dir or self.folder
            told_s = time.monotonic() if self._told_s is None else self._told_s
            until_s = told_s + patience_s + _STUCK_S
            while is_owned(owned):
                if time.monotonic() >= until_s:
                    kill_owner(owned)
                    break
                time.sleep(_LOOK_S)
            shutil.rmtree(self.folder, ignore_errors=True)


def open_runner_home() -> RunnerHome | None:
    """Return a new home, or `None` where no folder can be made: scenarios are then 503."""
    try:
        return RunnerHome()
    except OSError:
        return None
