"""One runner for a folder: who holds the lock, and how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from sonda.server.scenarios.ownership import is_owned, kill_owner, own

HOLD: Final = """
import sys
from pathlib import Path
from sonda.server.scenarios.ownership import own
assert own(Path(sys.argv[1]), 0) is not None
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    """Who asks a second time gets none; once it is closed, the next one gets it."""
    assert not is_owned(tmp_path)
    fd = own(tmp_path, 0)
    assert fd is not None
    assert is_owned(tmp_path)
    assert own(tmp_path, 0) is None
    os.close(fd)
    assert not is_owned(tmp_path)
    again = own(tmp_path, 0)
    assert again is not None
    os.close(again)


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    """By its pid, and nothing of what stood there before."""
    (tmp_path / "runner.lock").write_text("99999999999 and more")
    fd = own(tmp_path, 0)
    assert fd is not None
    assert (tmp_path / "runner.lock").read_text() == str(os.getpid())
    os.close(fd)


def test_there_may_be_no_lock(tmp_path: Path) -> None:
    """A folder that is missing is an error for who wants it, and no owner for who asks."""
    missing = tmp_path / "no"
    with pytest.raises(OSError, match=r"runner\.lock"):
        own(missing, 0)
    assert not is_owned(missing)
    kill_owner(missing)


@pytest.mark.parametrize("text", ["", "no pid", "-"])
def test_a_lock_without_a_pid_ends_nobody(text: str, tmp_path: Path) -> None:
    """Nor does it fail."""
    (tmp_path / "runner.lock").write_text(text)
    kill_owner(tmp_path)


def test_a_holder_is_ended(tmp_path: Path) -> None:
    """Where it does not end by itself: then the lock is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_owned(tmp_path)
        kill_owner(tmp_path)
        assert holder.wait(60) == -signal.SIGKILL
    assert not is_owned(tmp_path)
