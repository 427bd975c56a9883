"""A real logrotate, called by hand instead of every night."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .install import program, run

ROWS: Final = ("file rotation",)
Way: TypeAlias = Literal["nocreate", "create", "copytruncate"]


@dataclass(frozen=True, slots=True)
class Logrotate:
    """The installed program."""

    installed: Path

    def rotate(self, log: Path, way: Way, *, keep: int) -> None:
        """Rotate a log, if there is one, in one of the ways that logrotate has.

        `nocreate` renames the log, and the next event makes a new one. `create` makes one itself;
        if an event was faster, it renames that event's file to `….backup`, and so does the next
        rotation of the same hour: whoever rotates this often has to bring the file to safety.
        `copytruncate` copies the log and empties it; what is written between the two is lost, says
        its manual. So it is run under the log's lock, which Sonda takes for each event.
        """
        config = log.with_suffix(".conf")
        config.write_text(
            f"{log} {{\n  {way}\n  missingok\n  rotate {keep}\n}}\n", encoding="utf-8"
        )
        lock = ("flock", log) if way == "copytruncate" else ()
        state = log.with_suffix(".state")
        words, env = program(self.installed, "root/usr/sbin/logrotate", "--force")
        run(*lock, *words, "--state", state, config, env=env)
        for overtaken in log.parent.glob(f"{log.name}-*.backup"):
            overtaken.rename(f"{log}.overtaken-{time.monotonic_ns()}")
