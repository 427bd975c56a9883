"""How fast a scenario runs with `pace: max`, against a bare loop: `python -m bench.streams`.

The bare loop formats the lines of a metric and writes them in chunks of 500; a histogram is 13 lines. A stream to a stand-in is
measured against `/events` with 64 clients to the same one, too, if there is `wrk`. Times are of the
processor in Sonda's own process, so that other processes matter little.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, Final, NamedTuple

from sonda.pipeline.scenarios.report import Report
from sonda.scenarios import load_scenario, run_scenario

from .load import find_wrk
from .measure import post_and_watch
from .rows import ROWS, Destination
from .server import run_server
from .stand_in.running import run_stand_in
from .targets import MANY

_CHUNK: Final = 500
_EVENTS: Final = 200_000
_LOAD_S: Final = 2
_SINE: Final = {"generator": {"type": "sine", "amplitude": 5, "period_secs": 60}}
_TEMPLATE: Final = {
    "log_generator": {
        "type": "template",
        "templates": [{"message": "GET {path} {tick}", "field_pools": {"path": ["/a", "/b"]}}],
    }
}
_PODS: Final = {"dynamic_labels": [{"key": "pod", "cardinality": 10}]}
_FLEET: Final = {"series": {"pod": 100}, "rate": 9}
_HISTOGRAMS: Final = {
    **_FLEET,
    "buckets": [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    "distribution": {"type": "exponential", "rate": 10},
}
_FEWER: Final = 10  # histograms are so many times fewer: each is 13 samples


class _Stream(NamedTuple):
    """A stream to measure, and what its entry says beside the usual."""

    signal_type: str
    encoder: str
    sink: str
    entry: Mapping[str, Any]

    def __str__(self) -> str:
        kind = f"{self.signal_type}, a fleet" if "series" in self.entry else self.signal_type
        return f"{self.encoder} ({kind}) to {self.sink}"

    @property
    def events(self) -> int:
        """How many events it has: fewer where each is many samples."""
        return _EVENTS // _FEWER if self.signal_type == "histogram" else _EVENTS

    def per_s(self, sink: Mapping[str, object]) -> float:
        """Run it into *sink*; return its events per second."""
        document = {
            "name": "cpu",
            "signal_type": self.signal_type,
            "rate": 900,
            "count": self.events // 100 if "series" in self.entry else self.events,
            "pace": "max",
            "labels": {"host": "a"},
            "encoder": {"type": self.encoder},
            **self.entry,
        }
        scenario = load_scenario({**document, "sink": dict(sink)}).unwrap()
        reports: list[Report] = []
        speed = _per_s(lambda: reports.append(run_scenario(scenario).unwrap()), self.events)
        if any(report.ledger.delivered != self.events for report in reports):
            raise SystemExit(f"not all delivered: {reports}")
        return speed


_STREAMS: Final = (
    _Stream("metrics", "prometheus_text", "file", _SINE),
    _Stream("metrics", "json_lines", "file", _SINE),
    _Stream("logs", "json_lines", "file", _TEMPLATE),
    _Stream("metrics", "prometheus_text", "file", {**_SINE, **_FLEET}),
    _Stream("histogram", "prometheus_text", "file", _HISTOGRAMS),
    _Stream("logs", "json_lines", "loki", _TEMPLATE),
    _Stream("metrics", "remote_write", "remote_write", {**_SINE, **_PODS}),
    _Stream("metrics", "remote_write", "remote_write", {**_SINE, **_FLEET}),
    _Stream("histogram", "remote_write", "remote_write", _HISTOGRAMS),
)


def _per_s(work: Callable[[], object], events: int) -> float:
    began_s = process_time()
    work()
    return events / (process_time() - began_s)


def _bare(path: Path) -> None:
    with path.open("wb") as file:
        for first in range(0, _EVENTS, _CHUNK):
            lines = [
                f'cpu{{host="a"}} {5 * math.sin(2 * math.pi * tick / 60)!r} {1_700_000_000_000 + tick}\n'
                for tick in range(first, first + _CHUNK)
            ]
            file.write("".join(lines).encode())


def _measured(stream: _Stream, folder: Path) -> tuple[float, float | None]:
    """Return the speed of a stream, and that of `/events` to the same stand-in, if there is one."""
    folder.mkdir()
    if stream.sink == "file":
        return stream.per_s({"type": "file", "path": str(folder / "lines")}), None
    with run_stand_in(folder / "stand-in", "http") as stand_in:
        sink = {"type": stream.sink, "url": f"http://{stand_in.address}"}
        if find_wrk() is None:
            return stream.per_s(sink), None
        with run_server(folder / "server") as server:
            row = next(row for row in ROWS if row.name == stream.sink)
            request = row.request(server.url, Destination(sink))

            def events_per_s() -> float:
                load = post_and_watch(request, server.pid, clients=MANY, seconds=_LOAD_S)
                return 1e6 / load.cpu_us

            events_per_s()  # the first connections, and the caches
            before = events_per_s()
            speed = stream.per_s(sink)
            return speed, fmean((before, events_per_s()))


def main() -> None:
    """Measure each stream, and print a table."""
    with TemporaryDirectory() as name:
        folder = Path(name)

        def bare() -> float:
            return _per_s(lambda: _bare(folder / "bare"), _EVENTS)

        before = bare()
        sys.stdout.write("| stream | events/s | ÷ bare loop | ÷ `/events` |\n|---|---|---|---|\n")
        for number, stream in enumerate(_STREAMS):
            speed, events = _measured(stream, folder / str(number))
            after = bare()
            times = "" if events is None else f"{speed / events:.1f} ({events:,.0f}/s)"
            of_bare = speed / fmean((before, after))
            sys.stdout.write(f"| {stream} | {speed:,.0f} | {of_bare:.2f} | {times} |\n")
            before = after


if __name__ == "__main__":
    main()
