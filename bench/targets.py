"""What the numbers are meant to be: told as met or not, and never asserted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sonda.pipeline.net.pool import CONNECTIONS_PER_DESTINATION

from .measure import Cell, Measured, Result
from .server_costs import Memory, Start

MANY: Final = 64
CONNECTION_EVENTS: Final = 10_000
MEMORY_GROWTH: Final = 1.03
MEMORY_MB: Final = 120
READY_S: Final = 1.0
EMIT_OF_PYTHON: Final = 10
EMITS: Final = ("file", "tcp", "loki", "--server")
P50_OF_ECHO: Final = {"loki": 2.8, "tcp": 2.8, "stdout": 2.0, "file": 2.0}
MOST_SYSTEM_CALLS: Final = {"loki": (14, 2.2), "stdout": (9, 1.2)}
SLOW_P50_MS: Final = 12.5
OF_DIRECT: Final = {64: 1.1, 1: 0.55}
LEAST_OF_ECHO: Final = {
    "loki": 0.55,
    "loki/5ms": 0.25,
    "stdout": 0.55,
    "file": 0.55,
    "tcp": 0.55,
    "remote_write": 0.50,
    "kafka": 0.40,
    "http_push": 0.40,
    "otlp_grpc": 0.25,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """All that one run has measured."""

    results: Mapping[str, Result]
    echo: Mapping[int, list[Measured]] = field(default_factory=dict)
    logging_echo: Mapping[int, list[Measured]] = field(default_factory=dict)
    start: Start | None = None
    memory: Memory | None = None
    programs: Mapping[str, str] = field(default_factory=dict)
    """What the programs have printed, by title."""

    def cell(self, row: str, clients: int) -> Cell | None:
        """Return what was measured of a row at so many clients, if it was."""
        result = self.results.get(row)
        return result.at(clients) if result else None


@dataclass(frozen=True, slots=True)
class Target:
    """One of them; without a verdict it was not measured."""

    what: str
    wanted: str
    measured: str = ""
    met: bool | None = None


def targets(figures: Figures) -> list[Target]:
    """Judge the figures."""
    return [
        *_rates(figures),
        *_latency(figures),
        *_system_calls(figures),
        _slow_latency(figures),
        *_real(figures),
        _connections(figures),
        *_memory(figures.memory),
        *_start(figures.start),
    ]


def _rates(figures: Figures) -> Iterator[Target]:
    for row, least in LEAST_OF_ECHO.items():
        what, wanted = f"{row}: events/s ÷ echo, {MANY} clients", f"≥ {least:.2f}"
        if cell := figures.cell(row, MANY):
            yield Target(what, wanted, f"{cell.of_echo:.2f}", cell.of_echo >= least)
        else:
            yield Target(what, wanted)


def _latency(figures: Figures) -> Iterator[Target]:
    for row, most in P50_OF_ECHO.items():
        what, wanted = f"{row}: p50 ÷ echo's, one client", f"≤ {most:g}"
        if cell := figures.cell(row, 1):
            yield Target(what, wanted, f"{cell.p50_of_echo:.1f}", cell.p50_of_echo <= most)
        else:
            yield Target(what, wanted)


def _system_calls(figures: Figures) -> Iterator[Target]:
    for row, (calls, wake_ups) in MOST_SYSTEM_CALLS.items():
        what = f"{row}: system calls and wake-ups per event, one client"
        wanted = f"≤ {calls}; ≤ {wake_ups}"
        cell = figures.cell(row, 1)
        if cell is None or (of := cell.system_calls) is None:
            yield Target(what, wanted)
        else:
            is_met = of.calls <= calls and of.wake_ups <= wake_ups
            yield Target(what, wanted, f"{of.calls:.1f}; {of.wake_ups:.1f}", is_met)


def _slow_latency(figures: Figures) -> Target:
    what, wanted = f"loki/5ms: p50, {MANY} clients", f"≤ {SLOW_P50_MS} ms"
    if (cell := figures.cell("loki/5ms", MANY)) is None:
        return Target(what, wanted)
    return Target(what, wanted, f"{cell.p50_ms:.1f} ms", cell.p50_ms <= SLOW_P50_MS)


def _real(figures: Figures) -> Iterator[Target]:
    for clients, least in OF_DIRECT.items():
        what = f"loki/real: events/s ÷ posting to it directly, clients: {clients}"
        wanted = f"≥ {least:.2f}"
        cell = figures.cell("loki/real", clients)
        if cell is None or cell.of_direct is None:
            yield Target(what, wanted)
        else:
            yield Target(what, wanted, f"{cell.of_direct:.2f}", cell.of_direct >= least)


def _connections(figures: Figures) -> Target:
    """Judge the rows of HTTP sinks that got enough events for it."""
    what = f"connections opened for {CONNECTION_EVENTS} events or more to one HTTP destination"
    wanted = f"≤ {CONNECTIONS_PER_DESTINATION}"
    enough = {
        row: sum(cell.counts.connections for cell in cells if cell.counts)
        for row in ("http_push", "loki", "remote_write")
        if (result := figures.results.get(row)) and (cells := result.cells)
        if sum(cell.counts.events for cell in cells if cell.counts) >= CONNECTION_EVENTS
    }
    if not enough:
        return Target(what, wanted)
    shown = ", ".join(f"{row} {connections}" for row, connections in enough.items())
    return Target(what, wanted, shown, max(enough.values()) <= CONNECTIONS_PER_DESTINATION)


def _memory(memory: Memory | None) -> Iterator[Target]:
    growth = "memory after 1,000,000 events of changing labels ÷ after 100,000"
    most = "memory with one worker, then"
    wanted = f"≤ {MEMORY_GROWTH:g}", f"< {MEMORY_MB} MB"
    if memory is None:
        yield from (Target(growth, wanted[0]), Target(most, wanted[1]))
        return
    times = memory.late_mb / memory.early_mb
    shown = f"{times:.3f} ({memory.early_mb:.0f} → {memory.late_mb:.0f} MB)"
    yield Target(growth, wanted[0], shown, times <= MEMORY_GROWTH)
    yield Target(most, wanted[1], f"{memory.late_mb:.0f} MB", memory.late_mb < MEMORY_MB)


def _start(start: Start | None) -> Iterator[Target]:
    ready, wanted = "server ready after its start", f"≤ {READY_S:g} s"
    if start is None:
        yield Target(ready, wanted)
    else:
        yield Target(ready, wanted, f"{start.ready_s:.2f} s", start.ready_s <= READY_S)
    for where in EMITS:
        what, wanted = f"`sonda emit` ÷ `python -c pass`: {where}", f"≤ {EMIT_OF_PYTHON}"
        if start is None or where not in start.commands:
            yield Target(what, wanted)
        else:
            times = start.commands[where].of_python
            yield Target(what, wanted, f"{times:.1f}", times <= EMIT_OF_PYTHON)
