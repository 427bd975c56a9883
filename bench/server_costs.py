"""What Sonda costs besides time per event: its start, and a server's memory in the long run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from .load import post
from .measure import ask_once, say
from .processes import rss_mb
from .rows import MEMORY_ROW
from .server import run_server
from .stand_in.running import run_stand_in

SONDA: Final = Path(sys.executable).with_name("sonda")
READY_TRIES: Final = 3
TRIES: Final = 20
QUICK_TRIES: Final = 3
CLIENTS: Final = 64
CHUNK_S: Final = 2
EARLY_EVENTS: Final = 100_000
LATE_EVENTS: Final = 1_000_000
NOTHING: Final = (sys.executable, "-c", "pass")


@dataclass(frozen=True, slots=True)
class Command:
    """Medians of what a command takes of the processors, and beside Python that does nothing."""

    cpu_ms: float
    of_python: float


@dataclass(frozen=True, slots=True)
class Start:
    """What it takes until something has started, with Python's compiled files there already."""

    ready_s: float
    python_ms: float
    commands: Mapping[str, Command]
    """By what is shown of them; an emit by where to, such as `file`."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The resident memory of one worker after so many events."""

    early_events: int
    early_mb: float
    late_events: int
    late_mb: float


def measure_start(folder: Path, tries: int = TRIES) -> Start:
    """Start a server a few times, and commands in turns with Python alone."""
    folder.mkdir()
    say("start")
    ready_s = median(_ready_s(folder / str(number)) for number in range(READY_TRIES))
    with (
        run_stand_in(folder / "tcp", "tcp") as tcp,
        run_stand_in(folder / "http", "http") as http,
        run_server(folder / "server") as server,
    ):
        emit = (str(SONDA), "emit", "log", "hello", "--to")
        commands: dict[str, tuple[str, ...]] = {
            "file": (*emit, f"file={folder / 'events'}"),
            "tcp": (*emit, f"tcp={tcp.address}"),
            "loki": (*emit, f"loki=http://{http.address}"),
            "--server": (*emit, "stdout", "--server", server.url),
            "sonda --help": (str(SONDA), "--help"),
            "sonda --version": (str(SONDA), "--version"),
            "sonda emit log TAB": (str(SONDA),),
            "import sonda": (sys.executable, "-c", "import sonda"),
        }
        return _measured(ready_s, commands, tries)


def _measured(ready_s: float, commands: Mapping[str, Sequence[str]], tries: int) -> Start:
    everything = {"": NOTHING, **commands}
    times_ms: dict[str, list[float]] = {name: [] for name in everything}
    for command in everything.values():
        cpu_ms(command)  # Python compiles what it has not seen yet
    for _ in range(tries):
        for name, command in everything.items():
            times_ms[name].append(cpu_ms(command))
    python_ms = median(times_ms.pop(""))
    made = {name: median(times) for name, times in times_ms.items()}
    return Start(
        ready_s, python_ms, {name: Command(ms, ms / python_ms) for name, ms in made.items()}
    )


def _ready_s(folder: Path) -> float:
    with run_server(folder) as server:
        return server.ready_s


def cpu_ms(command: Sequence[str]) -> float:
    """Return the time on a processor that a command takes; raise `CalledProcessError` if it fails.

    It runs as from a shell, whatever this one says of compiled files: else all would be compiled.
    """
    env = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if command == (str(SONDA),):  # as bash completes `sonda emit log --`
        words = {"COMP_WORDS": "sonda emit log --", "COMP_CWORD": "3"}
        env |= {"_SONDA_COMPLETE": "bash_complete", **words}
    with (
        open(os.devnull, "r+b") as null,  # noqa: PTH123
        subprocess.Popen(command, env=env, stdin=null, stdout=null, stderr=null) as running,
    ):
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return (used.ru_utime + used.ru_stime) * 1000


def measure_memory(folder: Path) -> Memory:
    """Send a million events to one server; that takes minutes."""
    folder.mkdir()
    with (
        MEMORY_ROW.start(folder / "destination") as destination,
        run_server(folder / "server", *destination.flags) as server,
    ):
        request = MEMORY_ROW.request(server.url, destination)
        ask_once(request)
        sent = 0

        def send_until(events: int) -> tuple[int, float]:
            nonlocal sent
            while sent < events:
                sent += post(request, clients=CLIENTS, seconds=CHUNK_S).answers
                say(f"memory: {sent} of {LATE_EVENTS} events, {rss_mb(server.pid):.0f} MB")
            return sent, rss_mb(server.pid)

        return Memory(*send_until(EARLY_EVENTS), *send_until(LATE_EVENTS))
