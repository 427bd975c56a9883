"""How many processors this process may use, for `--workers auto`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def available_processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may use: its affinity, and its cgroups' quotas.

    A fraction of a processor counts as none, but there is always one. *root* is where `proc` and
    `sys` are looked for.
    """
    try:
        affinity = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        affinity = os.cpu_count() or 1
    return max(1, int(min([affinity, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota in processors of each cgroup that this process is in, version 2 and 1."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            for folder in _upwards(groups, path):
                quota, _, period = _read(folder / "cpu.max").partition(" ")
                yield from _quota(quota, period)
        elif "cpu" in controllers.split(","):
            for folder in _upwards(groups / "cpu", path):
                quota, period = (
                    _read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
                )
                yield from _quota(quota, period)


def _upwards(top: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a cgroup and those of its parents; in a container *path* may be outside."""
    folder = top / path.strip("/")
    yield folder
    for parent in folder.parents:
        if parent.is_relative_to(top):
            yield parent


def _quota(quota: str, period: str) -> Iterator[float]:
    if quota.strip().isdecimal() and period.strip().isdecimal() and int(period) > 0:
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
