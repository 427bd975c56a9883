"""What Linux knows about a process and its children: the time on a CPU, the memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_UTIME: Final = 11  # in /proc/PID/stat, counted from behind the name, which may contain anything
_STIME: Final = 12


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process and its children, in steps of 10 ms."""
    return sum(map(_cpu_s, family(pid)))


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process and its children, in 10^6 bytes.

    Pages that forked workers still share count once for each.
    """
    return sum(map(_rss_mb, family(pid)))


def family(pid: int) -> Iterator[int]:
    """Yield a process and, below it, its children."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has ended in the meantime
        for child in children:
            yield from family(int(child))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_S


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6
