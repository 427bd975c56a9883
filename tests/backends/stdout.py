"""A real pipe: `sonda-server | reader`, with a reader that takes small bites."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .process import Process, started
from .web import LISTENS

ROWS: Final = ("stdout pipe",)
READY_TIMEOUT_S: Final = 60.0
READER: Final = """
import os
while bite := os.read(0, 1000):
    os.write(1, bite)
"""


@dataclass(frozen=True, slots=True)
class Piped:
    """A server whose standard output is a pipe."""

    url: str
    server: Process
    _reader: Process
    _out: Path

    def finish(self) -> bytes:
        """Have the server end, and return all that the reader got until then."""
        assert self.server.stop() == 0, self.server.log_tail()
        assert self._reader.popen.wait(READY_TIMEOUT_S) == 0, self._reader.log_tail()
        return self._out.read_bytes()


@contextmanager
def piped(folder: Path) -> Iterator[Piped]:
    """Run a server on a free port, and the reader, until the end of the `with` block."""
    ours = (f"-u{name}" for name in os.environ if name.startswith("SONDA_"))
    server = ("env", *ours, sys.executable, "-m", "sonda.server", "--port", "0")
    reader = (sys.executable, "-c", READER)
    places = folder / "server", folder / "reader"
    for place in places:
        place.mkdir()
    out = folder / "out"
    with (
        out.open("wb") as file,
        started(reader, folder=places[1], stdin=subprocess.PIPE, stdout=file) as reading,
    ):
        pipe = reading.popen.stdin
        assert pipe
        with pipe, started(server, folder=places[0], stdout=pipe) as serving:
            pipe.close()  # the server has the only end that is left
            port = serving.wait_for_log(LISTENS, timeout_s=READY_TIMEOUT_S)[1]
            yield Piped(f"http://127.0.0.1:{port}", serving, reading, out)
