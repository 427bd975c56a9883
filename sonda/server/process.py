"""Which process is which: a token that no later process has, and whether its process still runs."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_STARTED: Final = 19  # the field `starttime`, counted from the one after the command's name


def process_token() -> str:
    """Return what tells this process from every other one, before and after it, on this machine."""
    return _token(os.getpid())


def is_alive(token: str) -> bool:
    """Return whether the process that has this token is still running."""
    pid, _, _ = token.partition(":")
    return _fresh_token(int(pid)) == token


@lru_cache(maxsize=1)
def _token(pid: int) -> str:
    return _fresh_token(pid) or f"{pid}:"


def _fresh_token(pid: int) -> str | None:
    """Return the token of a running process: its id, when it began, and the boot; else `None`."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended as it was read
        if not Path("/proc/self/stat").exists():  # no Linux: the id alone must do
            return f"{pid}:" if _is_running(pid) else None
        return None
    fields = status.rpartition(")")[2].split()
    if fields[0] in "ZX":  # it has ended, and only its parent has not noticed
        return None
    return f"{pid}:{fields[_STARTED]}:{boot_id()}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return what tells this boot of the machine from others; empty where nothing does."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
