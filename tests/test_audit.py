"""The audit of the pinned dependencies, on a report as pip writes it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tools import audit


@pytest.mark.parametrize(
    ("yanked", "status", "printed"),
    [
        (None, 0, "2 pinned releases, 0 of them yanked\n"),
        ("b", 1, "yanked: b 1.0\n2 pinned releases, 1 of them yanked\n"),
    ],
)
def test_yanked_releases_fail(
    yanked: str | None,
    status: int,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A release that its authors have withdrawn is named, and fails the audit."""
    chosen = [
        {"metadata": {"name": name, "version": "1.0"}, "is_yanked": name == yanked}
        for name in ("a", "b")
    ]

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        assert "--dry-run" in command
        return subprocess.CompletedProcess(command, 0, json.dumps({"install": chosen}).encode())

    monkeypatch.setattr(subprocess, "run", run)
    assert audit.main() == status
    assert capsys.readouterr().out == printed
