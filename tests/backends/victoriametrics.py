"""A real VictoriaMetrics, one process, with everything it stores in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .prometheus import Series
from .victoria import flush, start_victoria
from .web import Web, read_json

ROWS: Final = (
    "victoriametrics prometheus",
    "victoriametrics influx",
    "victoriametrics remote_write",
    "victoriametrics otlp_http",
)


@dataclass(frozen=True, slots=True)
class VictoriaMetrics:
    """A VictoriaMetrics that takes samples of any time."""

    web: Web

    def export(self, name: str) -> list[Series]:
        """Return the raw samples of a metric."""
        flush(self.web)
        lines = self.web.get("/api/v1/export", **{"match[]": f'{{__name__="{name}"}}'}).splitlines()
        return [_series(read_json(line)) for line in lines]

    def wait_for(self, name: str, *, count: int = 1) -> list[Series]:
        """Return the samples of a metric once they are *count* or more; fails if they stay fewer."""

        def look() -> list[Series]:
            found = self.export(name)
            return found if sum(len(series.samples) for series in found) >= count else []

        return self.web.poll(look, count=1)


def _series(line: dict[str, Any]) -> Series:
    values = map(float, line["values"])
    return Series(line["metric"], list(zip(line["timestamps"], values, strict=True)))


@contextmanager
def start_victoriametrics(installed: Path) -> Iterator[VictoriaMetrics]:
    """Run a VictoriaMetrics until the end of the `with` block."""
    with start_victoria(installed, "victoria-metrics") as web:
        yield VictoriaMetrics(web)
