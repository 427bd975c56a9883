"""`sonda`: the pipeline for people, on the command line.

What is slow to load is loaded by the command that needs it: a person waits for each start.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from io import TextIOWrapper

TYPE_CHECKING = False  # as in `typing`, which is loaded after the collector has been told
if TYPE_CHECKING:
    from typing import Final

FAILED: Final = 1
UNKNOWN: Final = 3
_NEW_OBJECTS: Final = 50_000


def main() -> None:
    """Run the command line, and exit with its status.

    Python's own status for an error, 1, would say that the event was rejected. A bug of ours may
    strike at any point: nobody knows what became of the event.
    """
    # What a start makes stays: to look through it for garbage again and again is a tenth of it.
    gc.set_threshold(_NEW_OBJECTS)
    try:
        _run()
    finally:
        gc.freeze()  # as the interpreter ends it would look through all of it once more


def _run() -> None:
    # httpx would load a command line of its own, with rich and pygments: half of what it costs.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    try:
        from sonda.cli.commands import sonda
        from sonda.cli.interruption import raise_on_signals

        raise_on_signals()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # not if it is closed
                stream.reconfigure(errors="backslashreplace")  # a locale may lack a character
        sonda(prog_name="sonda")
    except KeyboardInterrupt:
        _end("interrupted")
    except OSError as exc:
        if not _is_of_printing(exc):
            _end_as_bug(exc)
        _end(f"cannot write to standard output: {exc.strerror}")
    except Exception as bug:  # noqa: BLE001  # as in `sonda.http`: where the program ends
        _end_as_bug(bug)


def _end_as_bug(bug: Exception) -> None:
    sys.excepthook(type(bug), bug, bug.__traceback__)
    sys.exit(UNKNOWN)


def _is_of_printing(exc: OSError) -> bool:
    """Return whether printing has raised it, and not, say, a file that is read."""
    from traceback import walk_tb

    return any(frame.f_code.co_name == "echo" for frame, _ in walk_tb(exc.__traceback__))


def _end(reason: str) -> None:
    """Exit with a line on standard error; what is left in the buffer of standard output is lost."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(f"{reason}\n")
        sys.stderr.flush()
    with suppress(OSError, AttributeError):  # the interpreter flushes once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(FAILED)
