"""Library and command line where a platform lacks modules that only Unix has."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.bodies import LOG, changed

HIDDEN = ("uvloop", "fcntl", "termios", "pwd", "grp", "resource", "pty")
HIDE = f"""
import sys
for name in {HIDDEN!r}:
    sys.modules[name] = None
import os, signal
for name in ("SIGHUP", "SIGPIPE", "SIGUSR1"):
    vars(signal).pop(name, None)
for name in ("getuid", "fork", "fchmod", "geteuid"):
    vars(os).pop(name, None)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import sonda; [getattr(sonda, name) for name in sonda.__all__]",
        f"import sonda; sonda.send({changed(LOG, sink={'type': 'stdout'})!r})",
        f"import sonda; print(sonda.emit({LOG!r}))",
        "from sonda.cli import main; sys.argv = ['sonda', '--version']; main()",
        "from sonda.cli import main; sys.argv = ['sonda', 'emit', 'log', 'x', '--to', 'stdout']; main()",
        "from sonda.cli import main; sys.argv = ['sonda', 'schema', 'sink', 'loki']; main()",
    ],
)
def test_what_a_platform_lacks_is_not_needed(code: str) -> None:
    """Nothing that is imported asks for a module, a signal or a call that Windows lacks."""
    command = [sys.executable, "-c", f"{HIDE}\n{code}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


def test_a_named_destination_without_owners(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files have no owner a configuration cannot be somebody else's."""
    monkeypatch.chdir(str(tmp_path))
    with open("sonda.toml", "w", encoding="utf-8") as file:  # noqa: PTH123  # of the current folder
        file.write('[destinations.out]\nsink = {type = "stdout"}\n')
    code = "from sonda.cli import main; sys.argv = ['sonda', 'emit', 'log', 'x', '--to', 'out']; main()"
    command = [sys.executable, "-c", f"{HIDE}\n{code}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
