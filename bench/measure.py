"""One row measured, in rounds: the echo, Sonda, the destination itself, the echo once more."""

from __future__ import annotations

import sys
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from subprocess import SubprocessError
from typing import Final

from tests.backends.process import NotReadyError
from tests.backends.web import fetch

from .load import BenchError, Load, Request, post
from .processes import cpu_s, rss_mb
from .rows import EXAMPLE, AbsentError, Destination, Row
from .server import RunningEcho, Server, run_server
from .stand_in.counts import Counts
from .system_calls import SystemCalls, counting, per_event

NOTHING: Final = Counts(connections=0, requests=0, events=0)
FAILURES: Final = (BenchError, NotReadyError, OSError, SubprocessError)
CANNOT: Final = (400, 422)  # a sink of which it knows nothing, or whose extra is not installed


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often each measurement is made."""

    clients: tuple[int, ...] = (1, 64)
    seconds: int = 5
    rounds: int = 3
    warm_up_s: int = 1
    workers: int = 1
    is_quick: bool = False  # a look, not a result: the echo is measured before each row alone

    @property
    def echo_s(self) -> int:
        """The echo is measured twice for each measurement, before and after it."""
        return max(1, self.seconds // 2)


@dataclass(frozen=True, slots=True)
class Cell:
    """One row at one number of clients; medians of the rounds, counts of all of them.

    The warm-up counts, too: that is when connections are opened. None: nothing can be counted.
    """

    clients: int
    per_s: float
    p50_ms: float
    p99_ms: float
    of_echo: float
    p50_of_echo: float
    cpu_us: float
    of_direct: float | None = None
    counts: Counts | None = None
    arrived: float | None = None  # events in the destination, per 200
    system_calls: SystemCalls | None = None  # of one client's events


@dataclass(frozen=True, slots=True)
class Result:
    """One row; without cells the problem says why."""

    name: str
    cells: tuple[Cell, ...] = ()
    problem: str = ""
    absent: bool = False  # the problem is only that something is not installed
    rss_before_mb: float = 0.0
    rss_after_mb: float = 0.0

    def at(self, clients: int) -> Cell | None:
        """Return the cell of so many clients."""
        return next((cell for cell in self.cells if cell.clients == clients), None)


@dataclass(frozen=True, slots=True)
class Measured:
    """A load, and what the CPU worked for each of its answers, in the processes of the server."""

    load: Load
    cpu_us: float


def post_and_watch(
    request: Request, pid: int, *, clients: int, seconds: int, check: bool = False
) -> Measured:
    """Load a server whose process is known."""
    used_s = cpu_s(pid)
    load = post(request, clients=clients, seconds=seconds, check=check)
    return Measured(load, (cpu_s(pid) - used_s) * 1e6 / load.answers)


class Echo:
    """The echo, and all that has been measured of it."""

    def __init__(self, running: RunningEcho, plan: Plan) -> None:
        self._request = Request(running.url, EXAMPLE)
        self._pid = running.pid
        self._plan = plan
        self.measured: dict[int, list[Measured]] = {}

    def warm_up(self) -> None:
        """Load it once, and look at every status."""
        clients = max(self._plan.clients)
        post(self._request, clients=clients, seconds=self._plan.warm_up_s, check=True)

    def measure(self, clients: int) -> Load:
        """Measure it once more."""
        seconds = self._plan.echo_s
        measured = post_and_watch(self._request, self._pid, clients=clients, seconds=seconds)
        self.measured.setdefault(clients, []).append(measured)
        return measured.load


def measure(row: Row, echo: Echo, plan: Plan, folder: Path) -> Result:
    """Measure a row from the start of its destination to its end; a failure is in the result."""
    folder.mkdir()
    flags = ("--workers", str(plan.workers)) if plan.workers > 1 else ()
    try:
        with (
            row.start(folder / "destination") as destination,
            run_server(folder / "server", *destination.flags, *flags) as server,
        ):
            return _Run(row, echo, plan, destination, server).result()
    except AbsentError as exc:
        return Result(row.name, problem=str(exc), absent=True)
    except Exception as exc:  # noqa: BLE001  # whatever it is, the other rows are measured
        return Result(row.name, problem=failure(exc))


@dataclass(frozen=True, slots=True)
class _Round:
    """One measurement of Sonda, and those around it."""

    load: Load
    cpu_us: float
    echoes: tuple[Load, Load]
    direct: Load | None

    @property
    def of_echo(self) -> float:
        return self.load.per_s / fmean(echo.per_s for echo in self.echoes)

    @property
    def p50_of_echo(self) -> float:
        return self.load.p50_ms / fmean(echo.p50_ms for echo in self.echoes)


class _Run:
    """A row whose destination and server run."""

    def __init__(
        self, row: Row, echo: Echo, plan: Plan, destination: Destination, server: Server
    ) -> None:
        self._row = row
        self._echo = echo
        self._plan = plan
        self._destination = destination
        self._server = server
        self._request = row.request(server.url, destination)

    def result(self) -> Result:
        """Measure all of it."""
        before = self._counts()
        ask_once(self._request)
        opening = self._counts() - before
        self._direct(max(self._plan.clients), seconds=self._plan.warm_up_s, check=True)
        rss_before_mb = rss_mb(self._server.pid)
        cells: list[Cell] = []
        for clients in self._plan.clients:
            say(f"{self._row.name}, {clients} clients")
            cells.append(self._cell(clients, NOTHING if cells else opening))
        return Result(
            self._row.name,
            tuple(cells),
            rss_before_mb=rss_before_mb,
            rss_after_mb=rss_mb(self._server.pid),
        )

    def _cell(self, clients: int, counts: Counts) -> Cell:
        """Measure at so many clients; *counts* has what is to be counted with it."""
        answers = counts.events // self._row.events
        measured, counted = self._post(clients, seconds=self._plan.warm_up_s, check=True)
        counts, answers = counts + counted, answers + measured.load.answers
        rounds: list[_Round] = []
        before = self._echo.measure(clients)
        for _ in range(self._plan.rounds):
            measured, counted = self._post(clients, seconds=self._plan.seconds)
            counts, answers = counts + counted, answers + measured.load.answers
            direct = self._direct(clients, seconds=self._plan.seconds)
            after = before if self._plan.is_quick else self._echo.measure(clients)
            rounds.append(_Round(measured.load, measured.cpu_us, (before, after), direct))
            before = after
        cell = self._summed_up(clients, rounds, counts, answers)
        return replace(cell, system_calls=self._system_calls()) if clients == 1 else cell

    def _system_calls(self) -> SystemCalls | None:
        report = self._server.folder / "system-calls"
        with counting(self._server.pid, report) as is_counted:
            if not is_counted:
                return None
            try:
                load = post(self._request, clients=1, seconds=1)
            except (
                BenchError
            ):  # counting slows the server down, of many events a request to nothing
                return None
        return per_event(report.read_text(), load.answers * self._row.events)

    def _counts(self) -> Counts:
        return self._destination.counts(self._server) if self._destination.counts else NOTHING

    def _post(self, clients: int, *, seconds: int, check: bool = False) -> tuple[Measured, Counts]:
        """Load Sonda; what the destination has counted meanwhile comes along."""
        before = self._counts()
        measured = post_and_watch(
            self._request, self._server.pid, clients=clients, seconds=seconds, check=check
        )
        counted, answers = self._counts() - before, measured.load.answers
        expected = answers * self._row.events
        if self._destination.counts and counted.events < expected and not self._row.may_lose:
            raise BenchError(f"200 to {expected} events, but only {counted.events} arrived")
        return measured, counted

    def _direct(self, clients: int, *, seconds: int, check: bool = False) -> Load | None:
        if self._destination.direct is None:
            return None
        try:
            return post(self._destination.direct, clients=clients, seconds=seconds, check=check)
        except BenchError as exc:
            raise BenchError(f"posting to it directly: {exc}") from exc

    def _summed_up(
        self, clients: int, rounds: Sequence[_Round], counts: Counts, answers: int
    ) -> Cell:
        events = self._row.events
        of_direct = [events * one.load.per_s / one.direct.per_s for one in rounds if one.direct]
        counted = self._destination.counts is not None
        return Cell(
            clients,
            per_s=events * median(one.load.per_s for one in rounds),
            p50_ms=median(one.load.p50_ms for one in rounds),
            p99_ms=median(one.load.p99_ms for one in rounds),
            of_echo=events * median(one.of_echo for one in rounds),
            p50_of_echo=median(one.p50_of_echo for one in rounds),
            cpu_us=median(one.cpu_us for one in rounds) / events,
            of_direct=median(of_direct) if of_direct else None,
            counts=counts if counted else None,
            arrived=counts.events / (answers * events) if counted else None,
        )


def ask_once(request: Request) -> None:
    """Send the request once; raises `AbsentError` where this Sonda cannot send to such a sink."""
    try:
        fetch(request.url, body=request.body, headers=request.headers)
    except urllib.error.HTTPError as exc:
        with exc:
            answer = f"{exc.code}: {exc.read().decode(errors='replace')}"
        if exc.code in CANNOT:
            raise AbsentError(answer) from None
        raise BenchError(answer) from None


def failure(exc: Exception) -> str:
    """Return why something could not be measured; what nobody expects is named by its type."""
    text = str(exc)
    if isinstance(exc, FAILURES) and text:
        return text
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def say(line: str) -> None:
    """Tell the person who waits."""
    print(line, file=sys.stderr, flush=True)
