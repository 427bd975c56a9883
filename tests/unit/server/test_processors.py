"""`--workers auto`: the processors that this process may use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sonda.server.processors import available_processors

GROUPS = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "0::/"}, 16),
        ({"proc/self/cgroup": "0::/", f"{GROUPS}/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/", f"{GROUPS}/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/", f"{GROUPS}/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/", f"{GROUPS}/cpu.max": "250000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/", f"{GROUPS}/cpu.max": "9900000 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/a/b\n", f"{GROUPS}/a/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/a/b\n", f"{GROUPS}/a/b/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/../x\n", f"{GROUPS}/cpu.max": "nonsense\n"}, 16),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n",
                f"{GROUPS}/cpu/x/cpu.cfs_quota_us": "500000\n",
                f"{GROUPS}/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/x\n",
                f"{GROUPS}/cpu/x/cpu.cfs_quota_us": "-1\n",
                f"{GROUPS}/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
    ],
)
def test_quotas_of_cgroups(
    files: Mapping[str, str], processors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest quota of a group and its parents counts, rounded down, but never to none."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="ascii")
    assert available_processors(tmp_path) == processors
