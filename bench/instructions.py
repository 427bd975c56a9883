"""How many instructions of the interpreter a warm event takes, and in whose code.

    python -m bench.instructions

Unlike a time this is the same on a busy machine, and shows what is left to save: the echo's share
is Falcon's and uvicorn's, and comes before anything that Sonda does. Work in C counts as the one
instruction that calls it, system calls too.
"""

from __future__ import annotations

import http.client
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any, Final
from urllib.parse import urlsplit

from .rows import EXAMPLE
from .server import ENV, LISTENS
from .stand_in.running import run_stand_in

ROWS: Final = ("echo", "loki", "tcp", "http_push", "file", "stdout")
PACKAGES: Final = ("sonda", "falcon", "uvicorn", "returns", "the rest")
WARM: Final = 50
COUNTED: Final = 50
_PROGRAMS: Final = {True: "bench.echo", False: "sonda.server"}


class Tracer:
    """Counts the instructions of the main thread by package, while it *is_on*."""

    def __init__(self) -> None:
        self.is_on = False
        self.counts: Counter[str] = Counter()
        self._packages: dict[CodeType, str] = {}

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Follow a frame, as `sys.settrace` wants it, and count its instructions."""
        if not self.is_on:
            return None
        if event == "call":
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
        elif event == "opcode":
            code = frame.f_code
            self.counts[self._packages.get(code) or self._package(code)] += 1
        return self.trace

    def _package(self, code: CodeType) -> str:
        parts = Path(code.co_filename).parts
        named = next((name for name in PACKAGES if name in parts), PACKAGES[-1])
        return self._packages.setdefault(code, named)


def count(row: str, sink: dict[str, Any], folder: Path) -> Counter[str]:
    """Return the instructions of all events that are counted, by package, of a server of its own."""
    command = [sys.executable, "-m", __spec__.name, row, json.dumps(sink), str(folder)]
    done = subprocess.run(command, env={**os.environ, **ENV}, check=True, stdout=subprocess.PIPE)
    return Counter(json.loads(done.stdout.splitlines()[-1]))


def _serve(row: str, sink: str, folder: str) -> None:
    """Serve in this process, send it events from a thread, and print what has been counted."""
    body = json.dumps({**json.loads(EXAMPLE), "sink": json.loads(sink)}).encode()
    own, tracer = os.fdopen(os.dup(1), "w"), Tracer()
    log = Path(folder, "log")
    output = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    is_echo = row == "echo"
    sending = threading.Thread(target=_send, args=(body, log, tracer), daemon=True)
    program = _PROGRAMS[is_echo]
    sys.argv = [program, *(() if is_echo else ("--port", "0", "--file-root", folder))]
    sending.start()
    sys.settrace(tracer.trace)
    try:
        runpy.run_module(program, run_name="__main__")
    except (SystemExit, KeyboardInterrupt):
        pass
    finally:
        sys.settrace(None)
    print(json.dumps(tracer.counts), file=own, flush=True)


def _send(body: bytes, log: Path, tracer: Tracer) -> None:
    try:
        while (found := LISTENS.search(log.read_text())) is None:
            threading.Event().wait(0.05)
        where = urlsplit(found[1])
        client = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
        for number in range(WARM + COUNTED):
            tracer.is_on = number >= WARM
            client.putrequest("POST", "/events")
            client.putheader("Content-Type", "application/json")
            client.putheader("Content-Length", str(len(body)))
            client.endheaders(body)
            answer = client.getresponse()
            if answer.status != http.client.OK:
                raise RuntimeError(answer.read())
            answer.read()
        tracer.is_on = False
    finally:
        os.kill(os.getpid(), signal.SIGINT)  # uvicorn raises it again at its end


def main() -> None:
    """Print the table."""
    print(
        f"| instructions per event, Python {sys.version.split()[0]} | all | {' | '.join(PACKAGES)} |"
    )
    print("|---|" + "---|" * (len(PACKAGES) + 1))
    with TemporaryDirectory(prefix="sonda-bench-") as name:
        folder = Path(name)
        with (
            run_stand_in(folder / "http", "http") as web,
            run_stand_in(folder / "tcp", "tcp") as tcp,
        ):
            url = f"http://{web.address}"
            sinks: dict[str, dict[str, Any]] = {
                "echo": {"type": "stdout"},
                "loki": {"type": "loki", "url": url},
                "http_push": {"type": "http_push", "url": f"{url}/push"},
                "tcp": {"type": "tcp", "address": tcp.address},
                "file": {"type": "file", "path": "events"},
                "stdout": {"type": "stdout"},
            }
            for row in ROWS:
                counts = count(row, sinks[row], folder)
                each = [round(counts[package] / COUNTED) for package in PACKAGES]
                shown = " | ".join(f"{one:,}" for one in (sum(each), *each))
                print(f"| {row} | {shown} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        _serve(*sys.argv[1:])
    else:
        main()
