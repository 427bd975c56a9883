"""Opening files to append to, within the limits of a server. Every function here may block."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.unix import (
    IS_UNIX,
    NO_FOLLOW,
    TO_APPEND,
    TO_PASS,
    TO_READ,
    lock_inode,
    unlock_inode,
)
from sonda.pipeline.net.writes import WriteBatch, claim, pause
from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.paths import encodable

_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750


class _NotAllowed(Exception):  # noqa: N818  # no error of the program: the operator's rule
    """A file that the server may not write to."""

    def __init__(self, problem: Forbidden) -> None:
        self.problem = problem


def locate(path: str, access_policy: AccessPolicy | None) -> Path:
    """Take a relative path from the file root, or leave it to be taken from the current folder."""
    return Path(path) if access_policy is None else access_policy.file_root / path


class FilePath:
    """A path that events go to, and what it led through when it was last found to be allowed.

    To resolve a path anew costs three dozen calls. While the root, each folder below it, the file
    and whatever is the server's own are what they were, and none below the root is a symbolic link,
    so is the verdict.
    """

    def __init__(self, path: str, access_policy: AccessPolicy | None) -> None:
        self.path = encodable(path)
        self.access_policy = access_policy
        self.place = locate(self.path, access_policy)
        self.parts = _parts_below(self.place, access_policy)
        self._allowed: list[_Identity] | None = None
        steps = [self.place, *self.place.parents]
        self._steps = steps[: len(self.parts)][::-1]  # from below the root to the file

    def open_known(self) -> int | None:
        """Open the file that was allowed before, if it is there; nothing is made."""
        if self._allowed is None or self.access_policy is None:
            return None
        try:
            return _open_below(self.access_policy.file_root, self.parts, fsync=False, makes=False)
        except OSError:
            return None

    def leads_to(self, status: os.stat_result) -> bool:
        """Return whether it still leads to an open file, and may; raise `_NotAllowed`."""
        if self.access_policy is not None:
            seen = self._look()
            if seen is not None and seen == self._allowed:
                return seen[len(self._steps)] == _identity(status)
            self._allowed = None
            _steps(self.path, self.access_policy)
            if seen is not None and self._look() == seen:
                self._allowed = seen
        try:
            return os.path.samestat(self.place.stat(), status)
        except FileNotFoundError:
            return False

    def _look(self) -> list[_Identity] | None:
        """Return what the root, each step below it and the server's own are; `None` if not to be kept."""
        if self.access_policy is None or not self._steps:
            return None
        try:
            seen = [_identity(self.access_policy.file_root.stat())]
            seen += [_identity(step.lstat()) for step in self._steps]
        except OSError:
            return None
        if any(stat.S_ISLNK(kind) for kind, _, _ in seen):
            return None
        return seen + [_identity_at(own) for own in self.access_policy.protected()]


_Identity: TypeAlias = tuple[int, int, int]


def _identity(status: os.stat_result) -> _Identity:
    """Return what a file is, and which one: a number of a file that is gone is given anew."""
    return stat.S_IFMT(status.st_mode), status.st_dev, status.st_ino


def _identity_at(path: Path) -> _Identity:
    try:
        return _identity(path.stat())
    except OSError:
        return 0, 0, 0  # there is none


def _parts_below(place: Path, access_policy: AccessPolicy | None) -> tuple[str, ...]:
    """Return the folders and the name that lead from the root to a file, as they are written."""
    if access_policy is None or not place.is_relative_to(access_policy.file_root):
        return ()
    parts = place.relative_to(access_policy.file_root).parts
    return () if ".." in parts else parts


def permit(path: str, access_policy: AccessPolicy | None) -> Result[Path, Problem]:
    """Return the absolute path that a file would be opened by; fail with `Forbidden`.

    Opens nothing: what only opening could tell stays open.
    """
    try:
        with suppress(OSError):  # it cannot be written to, which no operator could allow
            if access_policy is not None:
                _steps(encodable(path), access_policy)
    except _NotAllowed as exc:
        return Failure(exc.problem)
    return Success(locate(path, access_policy).absolute())


def open_locked(
    path: FilePath, batch: WriteBatch, *, fsync: bool
) -> Result[tuple[int, os.stat_result], Problem]:
    """Open a file and lock it with `flock`; return its descriptor, and what it was once locked.

    Fail with `Forbidden`, raise `OSError`. What is missing is created, parent folders included, and
    with *fsync* made durable. The lock is tried for, not waited for, and each try opens the file
    anew: meanwhile the path may have got another file, by log rotation or by somebody who wants to
    get out of the root.
    """
    try:
        while True:
            fd = path.open_known()
            if fd is None:
                fd = _open(path.path, path.access_policy, fsync=fsync)
            try:
                if not IS_UNIX:  # a descriptor cannot be asked there whether it appends
                    os.lseek(fd, 0, os.SEEK_END)
                if claim(lock_inode, fd):
                    status = os.fstat(fd)
                    if path.leads_to(status):
                        if fsync and stat.S_ISREG(status.st_mode):
                            _sync_folder(Path(os.path.realpath(path.place)).parent)
                        return Success((fd, status))
            except BaseException:
                release(fd)
                raise
            release(fd)
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


def _open(path: str, access_policy: AccessPolicy | None, *, fsync: bool) -> int:
    if access_policy is not None:
        try:
            return _open_below(access_policy.file_root, _steps(path, access_policy), fsync=fsync)
        except OSError:
            _steps(path, access_policy)  # it may lead elsewhere by now
            raise
    _refuse_folder(path)
    try:
        return os.open(path, TO_APPEND, _FILE_MODE)
    except FileNotFoundError:
        for folder in reversed(Path(path).parents):
            if not folder.is_dir():
                _make_folder(folder, fsync=fsync)
        return os.open(path, TO_APPEND, _FILE_MODE)


def _steps(path: str, access_policy: AccessPolicy) -> tuple[str, ...]:
    """Return the folders and the name that lead from the root to a file; raise `_NotAllowed`."""
    place = locate(path, access_policy)
    root, real = os.path.realpath(access_policy.file_root), Path(os.path.realpath(place))
    if not real.is_relative_to(root):
        what = f"file path {quote(path)} is outside the file root"
        raise _NotAllowed(Forbidden(what, "sonda-server --file-root DIR would allow its folder"))
    if access_policy.protects(real):
        what = f"file path {quote(path)} is the server's own"
        raise _NotAllowed(Forbidden(what, "no sonda-server --file-root would allow it"))
    _refuse_folder(path)
    with suppress(FileNotFoundError):
        kind = place.stat().st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(kind):
            what = f"file path {quote(path)} is no regular file"
            raise _NotAllowed(Forbidden(what, "no sonda-server --file-root would allow it"))
    return real.relative_to(root).parts


def _refuse_folder(path: str) -> None:
    """Refuse what names a folder, in the operating system's words, before anything is created."""
    if path.rpartition("/")[2] in ("", ".", ".."):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _open_below(root: Path, parts: tuple[str, ...], *, fsync: bool, makes: bool = True) -> int:
    """Open a file step by step, following no symbolic link that is put there meanwhile.

    What is missing is made, or (*makes* is false) raises `FileNotFoundError`.
    """
    *folders, name = parts
    flags = (TO_APPEND if makes else TO_APPEND & ~os.O_CREAT) | NO_FOLLOW
    if not folders:
        return os.open(root / name, flags, _FILE_MODE)
    with ExitStack() as closing:
        here = os.open(root, TO_PASS)
        closing.callback(os.close, here)
        for folder in folders:
            here = _enter(Path(folder), within=here, fsync=fsync, makes=makes)
            closing.callback(os.close, here)
        return os.open(name, flags, _FILE_MODE, dir_fd=here)


def _enter(folder: Path, *, within: int, fsync: bool, makes: bool) -> int:
    try:
        return os.open(folder, TO_PASS | NO_FOLLOW, dir_fd=within)
    except FileNotFoundError:
        if not makes:
            raise
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
