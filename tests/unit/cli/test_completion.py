"""The scripts of shells: each names the command, and bash's puts no blank behind an equals sign."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from sonda.cli.commands import sonda
from sonda.cli.completion import script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script(shell: str, tmp_path: Path) -> None:
    """It is what the command prints, completes `sonda`, and is sound where the shell is there."""
    text = script(sonda, shell)
    printed = CliRunner().invoke(sonda, ["completion", shell])
    assert (printed.exit_code, printed.stdout) == (0, text + "\n")
    assert f"_SONDA_COMPLETE={shell}_complete" in text
    assert ("compopt -o nospace" in text) == (shell == "bash")
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(text)
        checked = subprocess.run(
            [program, "-n", tmp_path / "script"], capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_a_shell_that_nobody_knows() -> None:
    """It is a mistake, and names those that are known."""
    printed = CliRunner().invoke(sonda, ["completion", "csh"])
    assert printed.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in printed.stderr
