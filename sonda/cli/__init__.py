"""`sonda`: the pipeline for people, on the command line.

What is slow to load is loaded by the command that needs it: a person waits for each start.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Final

UNKNOWN: Final = 3


def main() -> None:
    """Run the command line, and exit with its status.

    Python's own status for an error, 1, would say that the event was rejected. A bug of ours may
    strike at any point: nobody knows what became of it.
    """
    from sonda.cli.commands import sonda

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not if it is closed
            stream.reconfigure(errors="backslashreplace")  # a locale may lack a character
    try:
        sonda(prog_name="sonda")
    except Exception as bug:  # noqa: BLE001  # as in `sonda.http`: where the program ends
        sys.excepthook(type(bug), bug, bug.__traceback__)
        sys.exit(UNKNOWN)
