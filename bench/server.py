"""The server under test, as an operator runs it, and the echo beside it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.backends.process import Process, started
from tests.backends.web import fetch, succeeds

LISTENS: Final = re.compile(r"listening on (http://\S+)")
SERVER: Final = Path(sys.executable).with_name("sonda-server")
READY_TIMEOUT_S: Final = 20.0
ENV: Final = {  # for modules of this package, which run in another folder
    "PYTHONPATH": str(Path(__file__).parent.parent)
}


@dataclass(frozen=True, slots=True)
class Server:
    """A `sonda-server` that runs in *folder*; what its stdout sink writes is in *stdout*."""

    url: str
    process: Process
    folder: Path
    stdout: Path
    ready_s: float  # from its start to its first answer

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.popen.pid


@dataclass(frozen=True, slots=True)
class RunningEcho:
    """Where it answers, and its process."""

    url: str
    pid: int


def _command() -> tuple[str | Path, ...]:
    """Return what starts the server: under a profiler where `BENCH_PROFILE` names its report."""
    report = os.environ.get("BENCH_PROFILE")
    if not report:
        return (SERVER,)
    profiler = (sys.executable, "-m", "pyinstrument", "--renderer", "html", "--outfile", report)
    return (*profiler, "-m", "sonda.server")


@contextmanager
def run_server(folder: Path, *flags: str) -> Iterator[Server]:
    """Run a server with its default flags on a free port; both its outputs are files."""
    folder.mkdir()
    stdout = folder / "stdout"
    start = time.perf_counter()
    with (
        stdout.open("wb") as output,
        started((*_command(), "--port", "0", *flags), folder=folder, stdout=output) as process,
    ):
        url = _where(process)
        process.wait_until(
            lambda: succeeds(lambda: fetch(f"{url}/health")),
            timeout_s=READY_TIMEOUT_S,
            what="it answers /health",
        )
        yield Server(url, process, folder, stdout, time.perf_counter() - start)


@contextmanager
def run_echo(folder: Path, *flags: str) -> Iterator[RunningEcho]:
    """Run the echo."""
    folder.mkdir()
    with started((sys.executable, "-m", "bench.echo", *flags), folder=folder, env=ENV) as process:
        url = _where(process)
        process.wait_until(
            lambda: succeeds(lambda: fetch(url, body=b"{}")),
            timeout_s=READY_TIMEOUT_S,
            what="it answers",
        )
        yield RunningEcho(url, process.popen.pid)


def _where(process: Process) -> str:
    return process.wait_for_log(LISTENS, timeout_s=READY_TIMEOUT_S)[1]
