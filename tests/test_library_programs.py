"""Programs that use the library, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bodies import LOG, changed


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_importing_loads_little() -> None:
    """`import sonda` loads no framework; an event loads what it needs and no more."""
    heavy = {"falcon", "uvicorn", "uvloop", "httpx", "h11", "grpc", "aiokafka", "google.protobuf"}
    assert not loaded_by("import sonda") & (heavy | {"jsonschema", "asyncio"})
    event = json.dumps(LOG)
    assert not loaded_by(f"import sonda; sonda.emit({event})") & heavy


def test_a_script_that_ends_with_send_has_a_status() -> None:
    """What was not delivered is no success of the script."""
    script = f"import sonda\nsonda.send({LOG!r})"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].endswith("TCP connect to 127.0.0.1:1: Connection refused")


def starts_threads_at_exit() -> bool:
    """Return whether this Python does: 3.12 does not, 3.11 and 3.13.0 do."""
    started = "threading.Thread(target=print).start()"
    script = f"import atexit, threading\natexit.register(lambda: {started})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return not run.stderr


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("sink", ["stdout", "tcp", "http_push"])
def test_an_event_at_exit(sink: str, loop: bool) -> None:
    """A first event inside `atexit` is delivered, or a `Failure`; it never raises."""
    options = {"tcp": {"address": "localhost:1"}, "http_push": {"url": "https://localhost:1"}}
    event = changed(LOG, sink={"type": sink, **options.get(sink, {})})
    call = f"sonda.emit({event!r})"
    inside = f"async def f(): return {call}\n"
    script = (
        f"import asyncio, atexit, sys\nimport sonda\n{inside}"
        f"atexit.register(lambda: print({'asyncio.run(f())' if loop else call}, file=sys.stderr))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    has_thread = not loop or starts_threads_at_exit()
    word = "Success" if sink == "stdout" and has_thread else "Failure"
    assert run.stderr.startswith(f"<{word}: ")
    assert (run.stdout == "") == (word == "Failure")


FINALIZER = """
import sonda
{before}
class Late:
    def __del__(self):
        try:
            print(sonda.emit({event!r}))
        except ImportError as exc:
            print("ImportError:", exc)
late = Late()
"""


@pytest.mark.parametrize("was_used", [True, False])
def test_a_finalizer_after_the_interpreters_end(tmp_path: Path, was_used: bool) -> None:
    """It is told that nothing is sent, and it never hangs: no thread runs any more."""
    event = changed(LOG, sink={"type": "file", "path": str(tmp_path / "late.log")})
    script = FINALIZER.format(before=f"sonda.emit({LOG!r})" if was_used else "", event=event)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    said = run.stdout.strip()
    if was_used:
        assert said.startswith("<Failure: ")
        assert "start a thread for the event: the interpreter has ended" in said
    else:
        assert said == (
            "ImportError: sonda.emit was not used before the interpreter ended; nothing is sent"
        )
    assert not (tmp_path / "late.log").exists()
