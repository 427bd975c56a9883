"""How fast a scenario runs with `pace: max`, against a bare loop: `python -m bench.streams`.

The bare loop formats the same lines and writes them in chunks of 500. Times are of this process's
processor, so that other processes matter little.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, Final

from sonda.pipeline.scenarios.report import Report
from sonda.scenarios import load_scenario, run_scenario

from .stand_in.running import run_stand_in

_CHUNK: Final = 500
_EVENTS: Final = 200_000
_SINE: Final = {"generator": {"type": "sine", "amplitude": 5, "period_secs": 60}}
_TEMPLATE: Final = {
    "log_generator": {
        "type": "template",
        "templates": [{"message": "GET {path} {tick}", "field_pools": {"path": ["/a", "/b"]}}],
    }
}
_PODS: Final = {"dynamic_labels": [{"key": "pod", "cardinality": 10}]}
_FLEET: Final = {"series": {"pod": 100}, "rate": 9}
_ROWS: Final[tuple[tuple[str, str, str, dict[str, Any]], ...]] = (
    ("metrics", "prometheus_text", "file", _SINE),
    ("metrics", "json_lines", "file", _SINE),
    ("logs", "json_lines", "file", _TEMPLATE),
    ("metrics", "prometheus_text", "file", {**_SINE, **_FLEET}),
    ("logs", "json_lines", "loki", _TEMPLATE),
    ("metrics", "remote_write", "remote_write", {**_SINE, **_PODS}),
)
"""Signal type, encoder, sink, and what else the entry says."""


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


def _run(folder: Path, signal: str, encoder: str, sink: str, entry: dict[str, Any]) -> float:
    """Run an entry; return its speed, without the time that the stand-in takes to start."""
    document = {
        "name": "cpu",
        "signal_type": signal,
        "rate": 900,
        "count": _EVENTS // 100 if "series" in entry else _EVENTS,
        "pace": "max",
        "labels": {"host": "a"},
        "encoder": {"type": encoder},
        **entry,
    }
    with _destination(folder, sink) as options:
        scenario = load_scenario({**document, "sink": {"type": sink, **options}}).unwrap()
        reports: list[Report] = []
        speed = _per_second(lambda: reports.append(run_scenario(scenario).unwrap()))
    if any(report.ledger.delivered != _EVENTS for report in reports):
        raise SystemExit(f"not all delivered: {reports}")
    return speed


@contextmanager
def _destination(folder: Path, sink: str) -> Iterator[dict[str, str]]:
    """Run a stand-in, unless the sink is `file`; yield where it is, as options of the sink."""
    if sink == "file":
        yield {"path": str(folder)}
        return
    with run_stand_in(folder, "http") as stand_in:
        yield {"url": f"http://{stand_in.address}"}


def main() -> None:
    """Measure each row, and print a table."""
    with TemporaryDirectory() as folder:
        bare = _per_second(lambda: _bare(Path(folder) / "bare"))
        sys.stdout.write(f"| bare loop | {bare:,.0f} | 1.00 |\n")
        for number, row in enumerate(_ROWS):
            speed = _run(Path(folder) / str(number), *row)
            kind = "a fleet" if "series" in row[3] else row[0]
            sys.stdout.write(
                f"| {row[1]} ({kind}) to {row[2]} | {speed:,.0f} | {speed / bare:.2f} |\n"
            )


if __name__ == "__main__":
    main()
