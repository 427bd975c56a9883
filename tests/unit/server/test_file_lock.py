"""A lock that another holder keeps, and gives up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sonda.server.file_lock import open_lock, wait_for_lock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """The second is refused when its patience ends, and gets the lock of one that is closed."""
    first, second = open_lock(tmp_path / "lock"), open_lock(tmp_path / "lock")
    try:
        wait_for_lock(first, 0.0)
        wait_for_lock(first, 0.0)  # whoever holds it may ask again
        with pytest.raises(BlockingIOError):
            wait_for_lock(second, 0.0)
        os.close(first)
        wait_for_lock(second, 0.0)
    finally:
        os.close(second)


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    """Nobody else may open it, and so hold the lock; no program that is started inherits it."""
    fd = open_lock(tmp_path / "lock")
    try:
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The caller says what that means."""
    with pytest.raises(FileNotFoundError):
        open_lock(tmp_path / "none" / "lock")
