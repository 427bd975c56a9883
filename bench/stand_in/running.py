"""Starting a stand-in, and asking it what it has counted."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.backends.certificates import Certificates
from tests.backends.process import started

from .counts import Counts, read_counts

LISTENS: Final = re.compile(r"port=(\d+) counts=(\d+)")
READY_TIMEOUT_S: Final = 20.0
PATIENCE_S: Final = 10.0
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A stand-in that runs."""

    port: int
    counts_port: int

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def counts(self) -> Counts:
        """Ask what it has counted so far."""
        where = ("127.0.0.1", self.counts_port)
        with socket.create_connection(where, timeout=PATIENCE_S) as asked, asked.makefile() as told:
            return read_counts(told.read())


@contextmanager
def run_stand_in(
    folder: Path, kind: str, *, delay_ms: float = 0, certificates: Certificates | None = None
) -> Iterator[StandIn]:
    """Run a stand-in until the end of the `with` block."""
    folder.mkdir()
    words = [sys.executable, "-m", "bench.stand_in", kind, f"--delay-ms={delay_ms}"]
    if certificates:
        words += [f"--cert={certificates.server_cert}", f"--key={certificates.server_key}"]
    with started(words, folder=folder, env={"PYTHONPATH": str(ROOT)}) as process:
        port, counts_port = process.wait_for_log(LISTENS, timeout_s=READY_TIMEOUT_S).groups()
        yield StandIn(int(port), int(counts_port))
