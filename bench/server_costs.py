"""What the server costs besides time per event: its start, and its memory in the long run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from .load import post
from .measure import ask_once, say
from .processes import rss_mb
from .rows import Row
from .server import run_server
from .stand_in.running import run_stand_in

TRIES: Final = 3
CLIENTS: Final = 64
CHUNK_S: Final = 2
EARLY_EVENTS: Final = 100_000
LATE_EVENTS: Final = 1_000_000
IMPORT: Final = """
from time import perf_counter
start = perf_counter()
import sonda
print(perf_counter() - start)
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Medians of a few starts, with Python's compiled files there already."""

    ready_s: float
    import_s: float
    emit_of_python: Mapping[str, float]
    """How many times as long as `python -c pass` one `sonda emit` takes, by where to."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The resident memory of one worker after so many events."""

    early_events: int
    early_mb: float
    late_events: int
    late_mb: float


def measure_start(folder: Path) -> Start:
    """Start a server, and import the library, a few times."""
    folder.mkdir()
    say("start")
    return Start(
        ready_s=median(_ready_s(folder / str(number)) for number in range(TRIES)),
        import_s=median(_import_s() for _ in range(TRIES)),
        emit_of_python=_emits(folder),
    )


def _ready_s(folder: Path) -> float:
    with run_server(folder) as server:
        return server.ready_s


def _import_s() -> float:
    command = (sys.executable, "-c", IMPORT)
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def _emits(folder: Path) -> dict[str, float]:
    """Time an emit to each of a few destinations, and `python -c pass` beside it."""
    with (
        run_stand_in(folder / "tcp", "tcp") as tcp,
        run_stand_in(folder / "http", "http") as http,
        run_server(folder / "server") as server,
    ):
        flags = {
            "file": ("--to", f"file={folder / 'events'}"),
            "tcp": ("--to", f"tcp={tcp.address}"),
            "loki": ("--to", f"loki=http://{http.address}"),
            "--server": ("--to", "stdout", "--server", server.url),
        }
        emit = (sys.executable, "-m", "sonda", "emit", "log", "hello")
        return {name: _of_python((*emit, *words)) for name, words in flags.items()}


def _of_python(command: Sequence[str]) -> float:
    """Return how many times as long it takes as Python alone, by the shortest of a few tries."""
    nothing = (sys.executable, "-c", "pass")
    tries = [(_duration_s(command), _duration_s(nothing)) for _ in range(TRIES)]
    return min(ours for ours, _ in tries) / min(bare for _, bare in tries)


def _duration_s(command: Sequence[str]) -> float:
    began_s = perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return perf_counter() - began_s


def measure_memory(row: Row, folder: Path) -> Memory:
    """Send a million events to one server; that takes minutes."""
    folder.mkdir()
    with (
        row.start(folder / "destination") as destination,
        run_server(folder / "server", *destination.flags) as server,
    ):
        request = row.request(server.url, destination)
        ask_once(request)
        sent = 0

        def send_until(events: int) -> tuple[int, float]:
            nonlocal sent
            while sent < events:
                sent += post(request, clients=CLIENTS, seconds=CHUNK_S).answers
                say(f"memory: {sent} of {LATE_EVENTS} events, {rss_mb(server.pid):.0f} MB")
            return sent, rss_mb(server.pid)

        return Memory(*send_until(EARLY_EVENTS), *send_until(LATE_EVENTS))
