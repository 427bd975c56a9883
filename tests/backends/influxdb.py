"""A real InfluxDB 1, one process, with one database in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from .install import Command, program
from .web import Web, read_json, start_web

ROWS: Final = ("influxdb",)
DATABASE: Final = "sonda"


@dataclass(frozen=True, slots=True)
class Point:
    """One stored point."""

    time_ns: int
    tags: dict[str, str]
    fields: dict[str, float]


@dataclass(frozen=True, slots=True)
class InfluxDB:
    """An InfluxDB that has the database `DATABASE`."""

    web: Web

    def points(self, measurement: str) -> list[Point]:
        """Return all points of a measurement, the oldest of each series first."""
        query = f'SELECT * FROM "{measurement}" GROUP BY *'  # noqa: S608 - the tests make up the names
        answer = self.web.get("/query", db=DATABASE, q=query, epoch="ns")
        return [
            point
            for result in read_json(answer)["results"]
            for series in result.get("series", [])
            for point in _points(series)
        ]

    def wait_for(self, measurement: str, *, count: int = 1) -> list[Point]:
        """Return the points once they are *count* or more; fails if they stay fewer."""
        return self.web.poll(lambda: self.points(measurement), count=count)


def _points(series: dict[str, Any]) -> Iterator[Point]:
    """Take a series apart; what a point lacks and another one has is shown as empty."""
    tags = {name: value for name, value in series.get("tags", {}).items() if value}
    names = series["columns"][1:]
    for time_ns, *values in series["values"]:
        columns = zip(names, values, strict=True)
        yield Point(
            time_ns, tags, {key: float(value) for key, value in columns if value is not None}
        )


@contextmanager
def start_influxdb(installed: Path) -> Iterator[InfluxDB]:
    """Run an InfluxDB until the end of the `with` block."""
    with start_web(partial(_command, installed), ready="/ping") as web:
        web.post("/query", q=f"CREATE DATABASE {DATABASE}")
        yield InfluxDB(web)


def _command(installed: Path, folder: Path) -> Command:
    settings = folder / "influxdb.conf"
    settings.write_text(_settings(folder), encoding="utf-8")
    return program(installed, "root/usr/bin/influxd", "-config", str(settings))


def _settings(folder: Path) -> str:
    return f"""
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "{folder / "meta"}"
[data]
dir = "{folder / "data"}"
wal-dir = "{folder / "wal"}"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:0"
log-enabled = false
"""
