"""What the system says of files, pipes and sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sonda.pipeline.net import unix

pytestmark = pytest.mark.skipif(not unix.IS_UNIX, reason="there are no such calls")


def test_a_locked_file_is_locked_for_all_who_open_it_anew(tmp_path: Path) -> None:
    """Until it is unlocked."""
    with (tmp_path / "a").open("wb") as first, (tmp_path / "a").open("wb") as second:
        unix.lock_inode(first.fileno())
        with pytest.raises(BlockingIOError):
            unix.lock_inode(second.fileno())
        unix.unlock_inode(first.fileno())
        unix.lock_inode(second.fileno())


def test_who_appends(tmp_path: Path) -> None:
    """As the descriptor was opened."""
    for mode, appends in (("ab", True), ("wb", False)):
        with (tmp_path / "a").open(mode) as opened:
            assert unix.is_appending(opened.fileno()) is appends


@pytest.mark.skipif(not hasattr(os, "pipe2"), reason="the size of a pipe is not known here")
def test_room_in_a_pipe() -> None:
    """A half-full one may not have it."""
    reader, writer = os.pipe()
    try:
        assert unix.has_much_room(writer)
        os.write(writer, b"x" * 20_000)
        assert not unix.has_much_room(writer)
    finally:
        os.close(reader)
        os.close(writer)


def test_what_the_peer_has_not_acknowledged() -> None:
    """A Unix socket's peer has it once it has read it."""
    here, there = socket.socketpair()
    with here, there:
        assert not unix.has_unsent(here)
        here.send(b"x")
        assert unix.has_unsent(here)
        there.recv(1)
        assert not unix.has_unsent(here)


@pytest.mark.parametrize(
    ("device", "tells"),
    [
        (os.makedev(8, 1), False),
        (os.makedev(8, 2), True),
        (os.makedev(8, 3), True),
        (os.makedev(8, 4), True),
        (os.makedev(0, 40), True),
    ],
    ids=["a disk", "a disk with FUSE", "a disk that is mounted twice", "not mounted", "no disk"],
)
def test_what_may_tell_of_a_failed_write_as_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: int, tells: bool
) -> None:
    """All but a disk with a file system that is known not to."""
    mounts = (
        "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
        "25 24 8:2 / /b rw,relatime - fuseblk /dev/sda2 rw",
        "26 24 8:3 / /c rw - xfs /dev/sda3 rw",
        "27 24 8:3 / /d rw shared:2 master:1 - ocfs2 /dev/sda3 rw",
        "28 24 0:40 / /e rw - ext4 none rw",
    )
    (tmp_path / "mountinfo").write_text("\n".join(mounts))
    monkeypatch.setattr(unix, "MOUNTS", tmp_path / "mountinfo")
    unix.tells_at_close.cache_clear()
    assert unix.tells_at_close(device) is tells
    unix.tells_at_close.cache_clear()
    monkeypatch.setattr(unix, "MOUNTS", tmp_path / "nothing")
    assert unix.tells_at_close(device)
    unix.tells_at_close.cache_clear()
