"""What a hundred runs of scenarios cost `/events`: `python -m bench.beside_runs [--seconds 5]`.

Rounds alternate between the server alone and the same server with the runs beside it, each of ten
events a second. Clients post to a Loki stand-in, which the runs send to as well.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.backends.web import fetch

from .load import Load, Request, post
from .server import Server, run_server
from .stand_in.running import run_stand_in

RUNS: Final = 100
ROUNDS: Final = 5
RATE: Final = 10
CLIENTS: Final = (1, 16)
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
    """Keep the runs going until the end of the `with` block; each must have delivered all that was due."""
    ids = [
        _call(server, "POST", "/scenarios", _scenario(loki, number))["id"] for number in range(RUNS)
    ]
    time.sleep(_SETTLED_S)
    yield
    for run in ids:
        ledger = _call(server, "DELETE", f"/scenarios/{run}")["ledger"]
        assert ledger["delivered"] == ledger["due"], ledger


def main() -> int:
    """Print p50 and p99 of both, and their ratio, for each number of clients."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    seconds = parser.parse_args().seconds
    with (
        TemporaryDirectory(prefix="sonda-bench-") as name,
        run_stand_in(Path(name, "loki"), "http") as stand_in,
        run_server(Path(name, "server")) as server,
    ):
        loki = f"http://{stand_in.address}"
        request = Request(f"{server.url}/events", _event(loki))
        for clients in CLIENTS:
            alone: list[Load] = []
            beside: list[Load] = []
            for _ in range(ROUNDS):
                alone.append(post(request, clients=clients, seconds=seconds))
                with _runs(server, loki):
                    beside.append(post(request, clients=clients, seconds=seconds))
            ratio = median(b.p99_ms / a.p99_ms for a, b in zip(alone, beside, strict=True))
            for title, loads in (("alone", alone), ("beside runs", beside)):
                print(
                    f"{clients} clients, {title}: {median(one.per_s for one in loads):,.0f}/s, "
                    f"p50 {median(one.p50_ms for one in loads):.2f} ms, "
                    f"p99 {median(one.p99_ms for one in loads):.2f} ms"
                )
            print(f"{clients} clients: p99 beside {RUNS} runs is {ratio:.2f} of that alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
