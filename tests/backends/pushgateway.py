"""A real Pushgateway, one process, which forgets everything at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from .install import Command, program
from .web import Web, start_web

ROWS: Final = ("pushgateway",)


@dataclass(frozen=True, slots=True)
class Pushgateway:
    """A Pushgateway that shows what was pushed to it."""

    web: Web

    def samples(self, name: str) -> list[Sample]:
        """Return the samples of a metric, as a Prometheus that scrapes it would read them."""
        families = text_string_to_metric_families(self.web.get("/metrics").decode())
        return [sample for family in families for sample in family.samples if sample.name == name]

    def wait_for(self, name: str, *, count: int = 1) -> list[Sample]:
        """Return the samples once they are *count* or more; fails if they stay fewer."""
        return self.web.poll(lambda: self.samples(name), count=count)


@contextmanager
def start_pushgateway(installed: Path) -> Iterator[Pushgateway]:
    """Run a Pushgateway until the end of the `with` block."""
    with start_web(partial(_command, installed), ready="/-/ready") as web:
        yield Pushgateway(web)


def _command(installed: Path, _folder: Path) -> Command:
    return program(
        installed, "root/usr/bin/prometheus-pushgateway", "--web.listen-address=127.0.0.1:0"
    )
