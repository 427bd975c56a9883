"""What the server costs besides time per event: its start, and its memory in the long run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from .load import post
from .measure import ask_once, say
from .processes import rss_mb
from .rows import Row
from .server import run_server

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
    )


def _ready_s(folder: Path) -> float:
    with run_server(folder) as server:
        return server.ready_s


def _import_s() -> float:
    command = (sys.executable, "-c", IMPORT)
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


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
