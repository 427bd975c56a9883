"""What a hundred runs cost `/events`: `python -m bench.beside_runs [--seconds 5] [--rounds 5]`.

Rounds alternate between the server alone and the same server with the runs beside it, each of ten
events a second. Clients post to a Loki stand-in, which the runs send to as well.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.backends.web import fetch

from .load import Load, Request, post
from .processes import cpu_s, family
from .report import table
from .server import Server, run_server
from .stand_in.running import run_stand_in

RUNS: Final = 100
RATE: Final = 10
CLIENTS: Final = (1, 16)
MOST_RATIO: Final = 1.5
RUNNER: Final = b"sonda.server.scenarios.runner"
COLUMNS: Final = (
    *("clients", "events/s alone", "events/s beside", "p99 alone ms", "p99 beside ms"),
    *("p99 beside ÷ alone", "at most", "runner's CPU, of a core"),
)
_SETTLED_S: Final = 2.0


def _event(loki: str) -> bytes:
    event = {
        "signal_type": "logs",
        "labels": {"app": "bench"},
        "log": {"severity": "info", "message": "event <<NUMBER>>"},
        "encoder": {"type": "json_lines"},
        "sink": {"type": "loki", "url": loki},
    }
    return json.dumps(event).encode()


def _scenario(loki: str, number: int) -> dict[str, Any]:
    return {
        "signal_type": "logs",
        "name": f"run{number}",
        "labels": {"run": f"run{number}"},
        "rate": RATE,
        "log_generator": {"type": "template", "templates": ["event {tick}"]},
        "encoder": {"type": "json_lines"},
        "sink": {"type": "loki", "url": loki},
    }


def _call(server: Server, method: str, path: str, body: object = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    _, answer = fetch(
        f"{server.url}{path}",
        method=method,
        body=content,
        headers={"Content-Type": "application/json"},
        timeout_s=30.0,
    )
    return json.loads(answer)


@contextmanager
def _runs(server: Server, loki: str) -> Iterator[None]:
    """Keep the runs going until the end of the `with` block; nothing that they hand over may be lost."""
    ids = [
        _call(server, "POST", "/scenarios", _scenario(loki, number))["id"] for number in range(RUNS)
    ]
    time.sleep(_SETTLED_S)
    yield
    for run in ids:
        ledger = _call(server, "DELETE", f"/scenarios/{run}")["ledger"]
        assert ledger["rejected"] == ledger["unknown"] == 0, ledger


@dataclass(frozen=True, slots=True)
class Round:
    """The load of some clients on the server alone, and with the runs beside it."""

    alone: Load
    beside: Load
    runner_cpu: float  # of one core, while the runs went on beside the clients


def _runner_of(server: Server) -> int:
    """Return the process that has been started with the first run."""
    return next(
        pid
        for pid in family(server.pid)
        if RUNNER in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    )


def _round(server: Server, loki: str, clients: int, seconds: int) -> Round:
    request = Request(f"{server.url}/events", _event(loki))
    alone = post(request, clients=clients, seconds=seconds)
    with _runs(server, loki):
        runner = _runner_of(server)
        before_s, began_s = cpu_s(runner), time.monotonic()
        beside = post(request, clients=clients, seconds=seconds)
        runner_cpu = (cpu_s(runner) - before_s) / (time.monotonic() - began_s)
    return Round(alone, beside, runner_cpu)


def _row(clients: int, rounds: Sequence[Round]) -> tuple[str, ...]:
    def shown(of: Callable[[Round], float], digits: int) -> str:
        return f"{median(map(of, rounds)):,.{digits}f}"

    return (
        str(clients),
        shown(lambda one: one.alone.per_s, 0),
        shown(lambda one: one.beside.per_s, 0),
        shown(lambda one: one.alone.p99_ms, 2),
        shown(lambda one: one.beside.p99_ms, 2),
        shown(lambda one: one.beside.p99_ms / one.alone.p99_ms, 2),
        f"{MOST_RATIO}",
        shown(lambda one: one.runner_cpu, 2),
    )


def main() -> int:
    """Print a table: for each number of clients the medians of all rounds."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        TemporaryDirectory(prefix="sonda-bench-") as name,
        run_stand_in(Path(name, "loki"), "http") as stand_in,
        run_server(Path(name, "server")) as server,
    ):
        loki = f"http://{stand_in.address}"
        rows = [
            _row(
                clients,
                [_round(server, loki, clients, options.seconds) for _ in range(options.rounds)],
            )
            for clients in CLIENTS
        ]
    print(table(COLUMNS, rows))
    print(
        f"\nLoad of the machine over the last 5 minutes, this one's included: {os.getloadavg()[1]:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
