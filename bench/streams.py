"""How fast a scenario runs with `pace: max`, against a bare loop: `python -m bench.streams`.

The bare loop formats the same lines and writes them in chunks of 500. Times are of this process's
processor, so that other processes matter little.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, Final

from sonda.scenarios import load_scenario, run_scenario

_CHUNK: Final = 500
_EVENTS: Final = 200_000
_SINE: Final = {"generator": {"type": "sine", "amplitude": 5, "period_secs": 60}}
_TEMPLATE: Final = {
    "log_generator": {
        "type": "template",
        "templates": [{"message": "GET {path} {tick}", "field_pools": {"path": ["/a", "/b"]}}],
    }
}
_ROWS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("metrics", "prometheus_text", _SINE),
    ("metrics", "json_lines", _SINE),
    ("logs", "json_lines", _TEMPLATE),
)


def _per_second(work: Callable[[], object]) -> float:
    began_s = process_time()
    work()
    return _EVENTS / (process_time() - began_s)


def _bare(path: Path) -> None:
    with path.open("wb") as file:
        for first in range(0, _EVENTS, _CHUNK):
            lines = [
                f'cpu{{host="a"}} {5 * math.sin(2 * math.pi * tick / 60)!r} {1_700_000_000_000 + tick}\n'
                for tick in range(first, first + _CHUNK)
            ]
            file.write("".join(lines).encode())


def _run(path: Path, signal: str, encoder: str, values: dict[str, Any]) -> None:
    document = {
        "name": "cpu",
        "signal_type": signal,
        "rate": 900,
        "count": _EVENTS,
        "pace": "max",
        "labels": {"host": "a"},
        "encoder": {"type": encoder},
        "sink": {"type": "file", "path": str(path)},
        **values,
    }
    report = run_scenario(load_scenario(document).unwrap()).unwrap()
    arrived = path.read_bytes().count(b"\n")
    if not arrived == report.ledger.delivered == _EVENTS:
        raise SystemExit(f"{arrived} lines for {report.ledger}")


def main() -> None:
    """Measure each row, and print a table."""
    with TemporaryDirectory() as folder:
        bare = _per_second(lambda: _bare(Path(folder) / "bare"))
        sys.stdout.write(f"| bare loop | {bare:,.0f} | 1.00 |\n")
        for number, row in enumerate(_ROWS):
            path = Path(folder) / str(number)
            speed = _per_second(partial(_run, path, *row))
            sys.stdout.write(
                f"| {row[1]} ({row[0]}) to file | {speed:,.0f} | {speed / bare:.2f} |\n"
            )


if __name__ == "__main__":
    main()
