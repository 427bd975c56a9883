"""What VictoriaMetrics and VictoriaLogs, two programs of one source, have in common."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from .install import Command, program
from .web import Web, start_web


def start_victoria(installed: Path, name: str) -> AbstractContextManager[Web]:
    """Run one of the programs, with everything it stores in a temporary folder."""
    return start_web(partial(_command, installed, name), ready="/health")


def flush(web: Web) -> None:
    """Make visible what was ingested; without this it takes a second or more."""
    web.get("/internal/force_flush")


def _command(installed: Path, name: str, folder: Path) -> Command:
    return program(
        installed,
        f"bin/{name}",
        "-httpListenAddr=127.0.0.1:0",
        f"-storageDataPath={folder / 'data'}",
        "-retentionPeriod=100y",  # else it says yes to what is old, and drops it
        "-memory.allowedBytes=256MB",
    )
