"""Files are opened below the root alone, made where they are missing, and locked."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import cast

import pytest
from returns.result import Failure, Success

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.blocking_writers import WriteBatch
from sonda.pipeline.net.files import FilePath, locate, open_locked, permit, release
from sonda.pipeline.net.unix import lock_inode
from sonda.pipeline.problems import Forbidden

NOBODY = cast("WriteBatch", None)  # asked only where a lock is waited for


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a link that leads out of it."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    return folder


def opened(path: str, policy: AccessPolicy | None) -> int:
    found = open_locked(FilePath(path, policy), NOBODY, fsync=True)
    assert isinstance(found, Success)
    fd: int = found.unwrap()[0]
    return fd


def test_what_is_missing_is_made(root: Path) -> None:
    """With its folders, for the owner and a group to read; the descriptor appends."""
    os.umask(os.umask(0o022))
    fd = opened("a/b/c.log", AccessPolicy(root, root))
    os.write(fd, b"x")
    release(fd)
    made = root / "a" / "b" / "c.log"
    assert made.read_bytes() == b"x"
    assert stat.S_IMODE(made.stat().st_mode) & 0o137 == 0
    fd = opened("a/b/c.log", AccessPolicy(root, root))
    os.write(fd, b"y")
    release(fd)
    assert made.read_bytes() == b"xy"


def test_it_is_locked_until_it_is_released(root: Path) -> None:
    """For everybody who opens it anew."""
    fd = opened(str(root / "a"), None)
    with (root / "a").open("ab") as other:
        with pytest.raises(BlockingIOError):
            lock_inode(other.fileno())
        release(fd)
        lock_inode(other.fileno())


@pytest.mark.parametrize("path", ["../a", "out/a", "/etc/a", "out/./a"])
def test_nothing_outside_the_root(path: str, root: Path) -> None:
    """The remedy names the flag; nothing is made."""
    policy = AccessPolicy(root, root)
    for refused in (permit(path, policy), open_locked(FilePath(path, policy), NOBODY, fsync=False)):
        assert isinstance(refused, Failure)
        problem = refused.failure()
        assert isinstance(problem, Forbidden)
        assert "is outside the file root" in str(problem)
        assert "--file-root" in problem.remedy
    assert sorted(entry.name for entry in root.parent.iterdir()) == ["root"]


@pytest.mark.parametrize("path", ["", "sub", "sub/", "sub/.", "sub/.."])
def test_a_folder_is_no_file(path: str, root: Path) -> None:
    """Said in the system's words, before anything is made."""
    (root / "sub").mkdir()
    with pytest.raises(IsADirectoryError):
        open_locked(FilePath(path, AccessPolicy(root, root)), NOBODY, fsync=False)


def test_a_pipe_below_the_root_is_refused(root: Path) -> None:
    """The reader of one may be anybody."""
    os.mkfifo(root / "pipe")
    refused = permit("pipe", AccessPolicy(root, root))
    assert isinstance(refused, Failure)
    assert "is no regular file" in str(refused.failure())


def test_where_a_path_leads(root: Path) -> None:
    """A relative one from the root, or from the current folder where there is none."""
    assert locate("a", AccessPolicy(root, root)) == root / "a"
    assert locate("a", None) == Path("a")
    assert permit("a", None) == Success(Path("a").absolute())
