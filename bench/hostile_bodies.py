"""What bodies of a megabyte that are made to cost much take of a server: `python -m bench.hostile_bodies`.

While a body is worked, `/health` is asked again and again: its longest wait is what the event loop
was not free for. A plain body of the same size is posted in turn with each, as other processes of
the machine cost both alike. Memory is what the process's peak has grown by.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tests.support.bodies import LOG, changed
from tests.support.hostile_bodies import HOSTILE_BODIES, SIZE

from .processes import cpu_s
from .report import table
from .server import Server, run_server

_ROUNDS: Final = 5
_PLAIN: Final = json.dumps(changed(LOG, log__message="x" * SIZE)).encode()
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_COLUMNS: Final = ("body", "longest wait, ms", "÷ plain", "CPU, ms", "÷ plain", "memory, MB")


class _Cost(NamedTuple):
    """What one body has taken: the longest wait of a neighbour, and the processor's time."""

    wait_ms: float
    cpu_ms: float


def _waits(where: tuple[str, int], ended: Event) -> Iterator[float]:
    """Ask for the health until it is *ended*; yield how long each answer took, in milliseconds."""
    connection = HTTPConnection(*where)
    while not ended.is_set():
        start_s = perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        yield (perf_counter() - start_s) * 1e3
    connection.close()


def _post(server: Server, body: bytes, times: int) -> _Cost:
    """Post a body some times; return the worst wait, and what one took of the processor."""
    url = urlsplit(server.url)
    where = (str(url.hostname), int(url.port or 80))
    ended, waits_ms = Event(), [0.0]
    probing = Thread(target=lambda: waits_ms.extend(_waits(where, ended)))
    connection = HTTPConnection(*where)
    before_s = cpu_s(server.pid)
    probing.start()
    try:
        for _ in range(times):
            connection.request("POST", "/events", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
    finally:
        ended.set()
        probing.join()
        connection.close()
    return _Cost(max(waits_ms), (cpu_s(server.pid) - before_s) * 1e3 / times)


def _peak_mb(server: Server) -> float:
    found = _PEAK.search(Path(f"/proc/{server.pid}/status").read_text(encoding="ascii"))
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _row(server: Server, name: str, rounds: int) -> Sequence[str]:
    """Measure one kind beside the plain body, the two in turn."""
    plain, hostile = [], []
    before_mb = _peak_mb(server)
    for _ in range(rounds):
        plain.append(_post(server, _PLAIN, 5))
        hostile.append(_post(server, HOSTILE_BODIES[name], 5))
    cells = [name]
    for field in ("wait_ms", "cpu_ms"):
        own = median(getattr(cost, field) for cost in hostile)
        of_plain = median(getattr(cost, field) for cost in plain)
        cells += [f"{own:.0f}", f"{own / of_plain:.1f}" if of_plain else ""]
    return (*cells, f"{_peak_mb(server) - before_mb:.0f}")


def main(words: Sequence[str]) -> None:
    """Measure each kind, and print a table; with `--quick` in one round."""
    rounds = 1 if "--quick" in words else _ROUNDS
    with TemporaryDirectory() as folder, run_server(Path(folder) / "server") as server:
        _post(server, _PLAIN, 20)
        _post(server, HOSTILE_BODIES["labels for json_lines"], 2)
        start_mb = _peak_mb(server)
        rows = [_row(server, name, rounds) for name in HOSTILE_BODIES]
        grown_mb = _peak_mb(server) - start_mb
    rows.append(("all of them, one after the other", "", "", "", "", f"{grown_mb:.0f}"))
    sys.stdout.write(f"{table(_COLUMNS, rows)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
