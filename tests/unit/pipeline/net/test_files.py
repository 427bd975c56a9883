"""Files are opened below the root alone, made where they are missing, and locked."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from returns.result import Failure, Success

from sonda.pipeline.net import AccessPolicy, files
from sonda.pipeline.net.files import FilePath, locate, open_locked, permit, release
from sonda.pipeline.net.unix import lock_inode
from sonda.pipeline.net.writes import WriteBatch
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


# A path that was allowed before


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each path that is resolved."""
    resolved: list[str] = []
    resolve = files._steps

    def way(path: str, access_policy: AccessPolicy) -> tuple[str, ...]:
        resolved.append(path)
        return resolve(path, access_policy)

    monkeypatch.setattr(files, "_steps", way)
    return resolved


def append(path: FilePath, body: bytes = b"x") -> Forbidden | None:
    """Append to a file as an event would; return why that is refused."""
    opened = open_locked(path, NOBODY, fsync=False)
    if isinstance(opened, Failure):
        problem = opened.failure()
        assert isinstance(problem, Forbidden)
        return problem
    fd, status = opened.unwrap()
    assert os.path.samestat(status, os.fstat(fd))
    os.write(fd, body)
    release(fd)
    return None


@pytest.fixture
def known(root: Path) -> FilePath:
    """A path through a folder, which was allowed."""
    path = FilePath("a/x.log", AccessPolicy(root, root))
    assert append(path) is None
    return path


def test_what_a_path_led_through_is_not_resolved_again(
    known: FilePath, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as all of it is the same."""
    resolved = counted(monkeypatch)
    for _ in range(3):
        assert append(known) is None
    assert resolved == []
    assert (root / "a/x.log").read_bytes() == b"xxxx"


@pytest.mark.parametrize("path", ["up/{}/x.log", "a/../x.log", "inside/x.log"])
def test_a_way_by_links_or_back_is_resolved_each_time(
    path: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leads through is not what is written."""
    (root / "up").symlink_to("..")
    (root / "inside").symlink_to(".")
    (root / "a").mkdir()
    named = FilePath(path.format(root.name), AccessPolicy(root, root))
    resolved = counted(monkeypatch)
    for _ in range(3):
        assert append(named) is None
    assert len(resolved) >= 3
    assert (root / "x.log").read_bytes() == b"xxx"


@pytest.mark.parametrize("what", ["a/x.log", "a"])
def test_a_known_path_follows_a_rotation(what: str, known: FilePath, root: Path) -> None:
    """Of the file or of its folder; what is missing is made again."""
    for count in range(3):
        (root / what).rename(root / f"old.{count}")
        assert append(known, b"%d" % count) is None
        assert append(known, b"%d" % count) is None
        assert (root / "a/x.log").read_bytes() == b"%d%d" % (count, count)


def lead_out_by_a_folder(root: Path) -> None:
    (root / "a").rename(root.parent / "moved")
    (root / "a").symlink_to("../moved")


def lead_out_by_a_link(root: Path) -> None:
    (root / "a/x.log").rename(root.parent / "x.log")
    (root / "a/x.log").symlink_to("../../x.log")


def make_a_pipe(root: Path) -> None:
    (root / "a/x.log").unlink()
    os.mkfifo(root / "a/x.log")


@pytest.mark.parametrize("change", [lead_out_by_a_folder, lead_out_by_a_link, make_a_pipe])
def test_a_known_path_is_refused_once_it_leads_elsewhere(
    change: Callable[[Path], None], known: FilePath, root: Path
) -> None:
    """Though it is the same file that it leads to."""
    change(root)
    assert append(known) is not None
    assert all(file.read_bytes() == b"x" for file in root.parent.rglob("x.log") if file.is_file())


@pytest.mark.parametrize("change", [lead_out_by_a_folder, lead_out_by_a_link])
def test_a_known_path_is_refused_if_it_leads_elsewhere_once_it_is_open(
    change: Callable[[Path], None], known: FilePath, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for after the lock."""

    def swap_first(_lock: Callable[[int], object], _fd: int) -> bool:
        monkeypatch.undo()
        change(root)
        return True

    monkeypatch.setattr(files, "claim", swap_first)
    assert append(known) is not None


def test_a_known_path_is_refused_once_it_is_the_servers_own(root: Path) -> None:
    """The configuration may name other files after it was read again, by any name."""
    own: list[Path] = []
    path = FilePath("x.log", AccessPolicy(root, root, protected=lambda: own))
    assert append(path) is None
    assert append(path) is None
    (root / "key").hardlink_to(root / "x.log")
    own.append(root / "key")
    problem = append(path)
    assert problem is not None
    assert "is the server's own" in str(problem)
    own.clear()
    assert append(path) is None
    own.append(root)
    assert append(path) is not None


def test_a_known_path_is_refused_once_its_folder_is_the_servers_own(root: Path) -> None:
    """What the server keeps there may be moved to where events went."""
    own = root / "state"
    own.mkdir()
    path = FilePath("a/x.log", AccessPolicy(root, root, protected=lambda: [root / "a" / "state"]))
    assert append(path) is None
    (root / "a").rename(root / "b")
    (root / "a").mkdir()
    own.rename(root / "a" / "state")
    assert append(path) is None
    inner = FilePath(
        "a/state/x.log", AccessPolicy(root, root, protected=lambda: [root / "a/state"])
    )
    assert append(inner) is not None
    assert list((root / "a/state").iterdir()) == []
