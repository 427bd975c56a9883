"""Opening files to append to, within the limits of a server. Every function here may block."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from returns.result import Failure, Result, Success

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.blocking_writers import WriteBatch
from sonda.pipeline.net.unix import (
    IS_UNIX,
    NO_FOLLOW,
    TO_APPEND,
    TO_PASS,
    TO_READ,
    lock_inode,
    unlock_inode,
)
from sonda.pipeline.net.writes import claim, is_regular, pause
from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.paths import encodable

_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750


class _NotAllowed(Exception):  # noqa: N818  # no error of the program: the operator's rule
    """A file that the server may not write to."""

    def __init__(self, problem: Forbidden) -> None:
        self.problem = problem


def locate(path: str, confinement: AccessPolicy | None) -> Path:
    """Take a relative path from the file root, or leave it to be taken from the current folder."""
    return Path(path) if confinement is None else confinement.file_root / path


def permit(path: str, confinement: AccessPolicy | None) -> Result[Path, Problem]:
    """Return the absolute path that a file would be opened by; fail with `Forbidden`.

    Opens nothing: what only opening could tell stays open.
    """
    try:
        with suppress(OSError):  # it cannot be written to, which no operator could allow
            if confinement is not None:
                _way(encodable(path), confinement)
    except _NotAllowed as exc:
        return Failure(exc.problem)
    return Success(locate(path, confinement).absolute())


def open_locked(
    path: str, confinement: AccessPolicy | None, batch: WriteBatch, *, fsync: bool
) -> Result[int, Problem]:
    """Open a file and lock it with `flock`; fails with `Forbidden`, raises `OSError`.

    What is missing is created, parent folders included, and with *fsync* made durable. The lock
    is tried for, not waited for, and each try opens the file anew: meanwhile the path may have
    got another file, by log rotation or by somebody who wants to get out of the root.
    """
    path = encodable(path)
    try:
        while True:
            with ExitStack() as closing:
                fd = _open(path, confinement, fsync=fsync)
                closing.callback(release, fd)
                if not IS_UNIX:  # a descriptor cannot be asked there whether it appends
                    os.lseek(fd, 0, os.SEEK_END)
                if claim(lock_inode, fd) and _leads_to(fd, path, confinement):
                    if fsync and is_regular(fd):
                        real = os.path.realpath(locate(path, confinement))
                        _sync_folder(Path(real).parent)
                    closing.pop_all()
                    return Success(fd)
            pause(batch)
    except _NotAllowed as exc:
        return Failure(exc.problem)


def release(fd: int) -> None:
    """Unlock a file and close it; all is flushed by now, so it has nothing to say about events.

    Closing alone would not unlock it while a process forked meanwhile has a copy of the descriptor.
    """
    with suppress(OSError):
        unlock_inode(fd)
    with suppress(OSError):
        os.close(fd)


def _open(path: str, confinement: AccessPolicy | None, *, fsync: bool) -> int:
    if confinement is not None:
        try:
            return _open_below(confinement.file_root, _way(path, confinement), fsync=fsync)
        except OSError:
            _way(path, confinement)  # it may lead elsewhere by now
            raise
    _refuse_folder(path, Path(path))
    try:
        return os.open(path, TO_APPEND, _FILE_MODE)
    except FileNotFoundError:
        for folder in reversed(Path(path).parents):
            if not folder.is_dir():
                _make_folder(folder, fsync=fsync)
        return os.open(path, TO_APPEND, _FILE_MODE)


def _way(path: str, confinement: AccessPolicy) -> tuple[str, ...]:
    """Return the folders and the name that lead from the root to a file; raise `_NotAllowed`."""
    place = locate(path, confinement)
    root, real = os.path.realpath(confinement.file_root), Path(os.path.realpath(place))
    if not real.is_relative_to(root):
        what = f"file path {quote(path)} is outside the file root"
        raise _NotAllowed(Forbidden(what, "sonda-server --file-root DIR would allow its folder"))
    if confinement.protects(real):
        what = f"file path {quote(path)} is the server's own"
        raise _NotAllowed(Forbidden(what, "no sonda-server --file-root would allow it"))
    _refuse_folder(path, place)
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(place.stat().st_mode):
            what = f"file path {quote(path)} is no regular file"
            raise _NotAllowed(Forbidden(what, "no sonda-server --file-root would allow it"))
    return real.relative_to(root).parts


def _refuse_folder(path: str, place: Path) -> None:
    """Refuse what names a folder, in the operating system's words, before anything is created."""
    if path.rpartition("/")[2] in ("", ".", "..") or place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _open_below(root: Path, writer: tuple[str, ...], *, fsync: bool) -> int:
    """Open a file step by step, following no symbolic link that is put there meanwhile."""
    *folders, name = writer
    with ExitStack() as closing:
        here = os.open(root, TO_PASS)
        closing.callback(os.close, here)
        for folder in folders:
            here = _enter(Path(folder), within=here, fsync=fsync)
            closing.callback(os.close, here)
        return os.open(name, TO_APPEND | NO_FOLLOW, _FILE_MODE, dir_fd=here)


def _enter(folder: Path, *, within: int, fsync: bool) -> int:
    try:
        return os.open(folder, TO_PASS | NO_FOLLOW, dir_fd=within)
    except FileNotFoundError:
        _make_folder(folder, within, fsync=fsync)
        return os.open(folder, TO_PASS | NO_FOLLOW, dir_fd=within)


def _make_folder(folder: Path, within: int | None = None, *, fsync: bool) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, _FOLDER_MODE, dir_fd=within)
        if fsync:
            _sync_folder(folder.parent, within)


def _sync_folder(folder: Path, within: int | None = None) -> None:
    """Make the entries of a folder durable; Windows opens no folder."""
    if not IS_UNIX:
        return
    fd = os.open(folder, TO_READ, dir_fd=within)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _leads_to(fd: int, path: str, confinement: AccessPolicy | None) -> bool:
    """Return whether the path still leads to the open file, without leaving the root."""
    if confinement is not None:
        _way(path, confinement)
    try:
        return os.path.samestat(locate(path, confinement).stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
