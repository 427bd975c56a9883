"""Measurements that are programs of their own: `python -m bench.<name>` prints a Markdown table."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .measure import say

ROOT: Final = Path(__file__).parent.parent
TIMEOUT_S: Final = 600.0
ENDS_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """One of them, by the name of its module; *quick* are its words for a quick run."""

    name: str
    title: str
    quick: tuple[str, ...] = ()


PROGRAMS: Final = (
    Program("instructions", "Instructions of the interpreter for each event"),
    Program("streams", "Scenarios, as fast as they go"),
    Program("visible", "From the acknowledgement until an event is found", quick=("--quick",)),
    Program(
        "beside_runs",
        "`/events` beside a hundred runs, of ten events a second each",
        quick=("--seconds", "1", "--rounds", "1"),
    ),
    Program("hostile_bodies", "Bodies that are made to cost much", quick=("--quick",)),
)


def run_program(program: Program, *, is_quick: bool) -> str:
    """Return what a program has printed, and behind it why there is no more, if it failed."""
    say(program.name)
    words = program.quick if is_quick else ()
    return run((sys.executable, "-m", f"bench.{program.name}", *words), timeout_s=TIMEOUT_S)


def run(command: tuple[str, ...], *, timeout_s: float) -> str:
    """Return the standard output of a command, and a line that says how it failed, if it did."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            printed, said = running.communicate(timeout=timeout_s)
            failure = said.strip().rpartition("\n")[2] if running.returncode else ""
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)  # it ends the servers that it has started
            printed, _ = running.communicate(timeout=ENDS_WITHIN_S)
            failure = f"not done within {timeout_s:g} s"
        except BaseException:
            running.send_signal(signal.SIGINT)
            raise
    table = printed.strip()
    if running.returncode == 0 and not failure:
        return table
    return "\n\n".join(filter(None, (table, f"**failed**: {failure or running.returncode}")))
