"""What stands beside the code so that others can run it: the unit of systemd, and more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from sonda.server.flags import FLAGS

ROOT: Final = Path(__file__).parents[1]
UNIT: Final = ROOT / "deploy" / "systemd" / "sonda.service"


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """For systemd itself; the program that it starts stands elsewhere here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/opt/sonda/bin/sonda-server\n" in text
    here = tmp_path / "sonda.service"
    here.write_text(text.replace("/opt/sonda/bin/sonda-server", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(here)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in run.stderr.splitlines() if "sonda" in line] == []
    assert run.returncode == 0, run.stderr


def test_the_unit_sets_variables_that_exist() -> None:
    """Each is a flag's, or the file of the key."""
    known = {str(flag.envvar) for flag in FLAGS} | {"SONDA_API_KEY_FILE"}
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    names = {
        line.removeprefix("Environment=").partition("=")[0]
        for line in lines
        if line.startswith("Environment=")
    }
    assert names
    assert names <= known
