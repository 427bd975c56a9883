"""A real VictoriaLogs, one process, with everything it stores in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .victoria import flush, start_victoria
from .web import Web

ROWS: Final = ("victorialogs loki", "victorialogs jsonline")


@dataclass(frozen=True, slots=True)
class VictoriaLogs:
    """A VictoriaLogs that takes events of any time."""

    web: Web

    def query(self, logsql: str) -> list[dict[str, str]]:
        """Return the fields of each event that a LogsQL query finds."""
        flush(self.web)
        lines = self.web.get("/select/logsql/query", query=logsql).splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, logsql: str, *, count: int = 1) -> list[dict[str, str]]:
        """Return what `query` finds once it is *count* or more; fails if it stays fewer."""
        return self.web.poll(lambda: self.query(logsql), count=count)


@contextmanager
def start_victorialogs(installed: Path) -> Iterator[VictoriaLogs]:
    """Run a VictoriaLogs until the end of the `with` block."""
    with start_victoria(installed, "victoria-logs") as web:
        yield VictoriaLogs(web)
