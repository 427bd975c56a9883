"""A real Prometheus, one process, with a database in a temporary folder.

It scrapes nothing unless it is told to.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from .install import Command, program
from .web import Web, read_json, start_web

ROWS: Final = ("prometheus remote_write", "prometheus http_push")


@dataclass(frozen=True, slots=True)
class Series:
    """What is stored under one set of labels, the metric's name (`__name__`) among them."""

    labels: dict[str, str]
    samples: list[tuple[int, float]]  # milliseconds, value; in order of time


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that receives remote writes."""

    web: Web

    @property
    def write_url(self) -> str:
        """Where samples are posted to."""
        return f"{self.web.url}/api/v1/write"

    def stored(self, name: str, *, until_s: float | None = None, hours: int = 2) -> list[Series]:
        """Return the raw samples of a metric, of so many *hours* until now or *until_s*."""
        query = f'{{__name__="{name}"}}[{hours}h]'
        found = self.web.get("/api/v1/query", query=query, time=f"{until_s or time.time():.3f}")
        answer = read_json(found)
        return [_series(found) for found in answer["data"]["result"]]

    def wait_for(self, name: str, *, count: int = 1) -> list[Series]:
        """Return the samples of a metric once they are *count* or more; fails if they stay fewer."""

        def look() -> list[Series]:
            found = self.stored(name)
            return found if sum(len(series.samples) for series in found) >= count else []

        return self.web.poll(look, count=1)


def _series(found: dict[str, Any]) -> Series:
    pairs = [(round(time_s * 1000), float(value)) for time_s, value in found["values"]]
    return Series(found["metric"], pairs)


@contextmanager
def start_prometheus(
    installed: Path, config: str = "global: {}\n", *, prefix: str = ""
) -> Iterator[Prometheus]:
    """Run a Prometheus until the end of the `with` block; its paths begin with *prefix*."""
    command = partial(_command, installed, config, prefix)
    with start_web(command, ready=f"{prefix}/-/ready") as web:
        yield Prometheus(web if not prefix else replace(web, url=web.url + prefix))


def _command(installed: Path, config: str, prefix: str, folder: Path) -> Command:
    settings = folder / "prometheus.yml"
    settings.write_text(config, encoding="utf-8")
    return program(
        installed,
        "root/usr/bin/prometheus",
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.enable-remote-write-receiver",
        f"--web.route-prefix={prefix or '/'}",
    )
