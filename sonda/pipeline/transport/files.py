"""Files, pipes and devices, written whole or not at all. Every function here may block.

They raise `OSError` where nothing was written or all was taken back, and `Torn` otherwise.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from returns.result import Failure, Result, Success

from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.quoting import quote
from sonda.pipeline.transport.lines import Job, Torn
from sonda.pipeline.transport.sockets import words

if TYPE_CHECKING:
    from sonda.pipeline.transport import Confinement

_TO_APPEND: Final = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
)
_TO_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750
_SLICE_MS: Final = 50  # how often a wait looks whether its event has been withdrawn
_PAUSE_S: Final = 0.002  # between two tries to get a lock


def locate(path: str, confinement: Confinement | None) -> str:
    """Tell from where a relative path is taken: the file root, or the current folder."""
    return path if confinement is None else os.path.join(confinement.file_root, path)


def open_locked(
    path: str, confinement: Confinement | None, job: Job, *, fsync: bool
) -> Result[int, Problem]:
    """Open a file to append to it, lock it, and give its descriptor; fails with `Forbidden`.

    What is missing is created, the folders too; *fsync* makes these entries durable. The lock is
    tried for, not waited for, and each try looks the path up anew: log rotation may have given
    the name to another file, and somebody may have put a symbolic link in its place.
    """
    place = locate(path, confinement)
    while True:
        job.check()
        refusal = _refusal(path, confinement)
        if refusal is not None:
            return Failure(refusal)
        with ExitStack() as closing:
            fd = _open(place, confinement, fsync=fsync)
            closing.callback(os.close, fd)
            if claim(fcntl.flock, fd) and _names(place, fd) and not _refusal(path, confinement):
                if fsync and _is_regular(fd):
                    _sync_folder(os.path.dirname(os.path.realpath(place)))
                closing.pop_all()
                return Success(fd)
        time.sleep(_PAUSE_S)


def claim(lock: Callable[[int, int], object], fd: int) -> bool:
    """Try to lock a file with `flock` or `lockf`; false while somebody else holds it."""
    try:
        lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # no locks here, as on some network file systems: the other precautions must do
    return True


def write_whole(fd: int, body: bytes, job: Job, *, fsync: bool = False) -> None:
    """Write *body*, and with *fsync* wait until it is on durable storage."""
    if _is_regular(fd):
        _append(fd, body, job, fsync=fsync)
    else:
        _pour(fd, body, job, fsync=fsync)


def wait_for_room(fd: int, job: Job) -> None:
    """Wait until a pipe takes `PIPE_BUF` bytes at once; raises `Withdrawn`."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    while not poll.poll(_SLICE_MS):
        job.check()


def _append(fd: int, body: bytes, job: Job, *, fsync: bool) -> None:
    """Write to a regular file, and cut a short write back."""
    appends = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
    start = os.fstat(fd).st_size if appends else os.lseek(fd, 0, os.SEEK_CUR)
    sent = 0
    job.begin()
    try:
        while sent < len(body):
            if sent and not _ends_at(fd, start + sent):
                raise Torn("another program wrote into the line")
            sent += os.write(fd, body[sent:])
        if fsync:
            os.fsync(fd)
        else:
            os.close(os.dup(fd))  # where a network file system owns up to a write that failed
    except OSError as exc:
        if sent and not _cut_back(fd, start, sent):
            raise Torn(words(exc)) from exc
        raise


def _cut_back(fd: int, start: int, sent: int) -> bool:
    """Take back the last *sent* bytes, unless somebody has written behind them."""
    try:
        if not _ends_at(fd, start + sent):
            return False
        os.ftruncate(fd, start)
        os.lseek(fd, start, os.SEEK_SET)  # or the next write to a redirected stdout leaves a gap
    except OSError:
        return False
    return True


def _ends_at(fd: int, offset: int) -> bool:
    return os.lseek(fd, 0, os.SEEK_CUR) == offset == os.fstat(fd).st_size


def _pour(fd: int, body: bytes, job: Job, *, fsync: bool) -> None:
    """Write to a pipe, a terminal or a device, from which nothing can be taken back.

    Once the first piece is out the rest is owed, however long the reader takes: the next event
    must not land inside a torn line.
    """
    if fsync:
        os.fsync(fd)  # most of them cannot: better to know before it is too late
    wait_for_room(fd, job)
    job.begin()
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    sent = 0
    try:
        while sent < len(body):
            poll.poll()
            with suppress(BlockingIOError):  # another process was faster to fill it
                sent += os.write(fd, body[sent : sent + select.PIPE_BUF])
        if fsync:
            os.fsync(fd)
    except OSError as exc:
        if sent:
            raise Torn(words(exc)) from exc
        raise


def _refusal(path: str, confinement: Confinement | None) -> Forbidden | None:
    """Say why a server may not write to *path*: it leads out of the root, or to no regular file."""
    if confinement is None:
        return None
    place = locate(path, confinement)
    if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(confinement.file_root)):
        return Forbidden(
            f"file path {quote(path)} is outside the file root",
            "sonda-server --file-root DIR would allow its folder",
        )
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # a folder is the operating system's to refuse
        return None
    return Forbidden(
        f"file path {quote(path)} is no regular file",
        "with any --file-root, sonda-server writes to regular files only",
    )


def _open(place: str, confinement: Confinement | None, *, fsync: bool) -> int:
    if os.path.basename(place) in ("", ".", ".."):
        raise IsADirectoryError
    if confinement is not None:
        root = os.path.realpath(confinement.file_root)
        return _open_below(root, os.path.realpath(place), fsync=fsync)
    try:
        return os.open(place, _TO_APPEND, _FILE_MODE)
    except FileNotFoundError:
        for folder in reversed(Path(place).parents):
            _make_folder(folder, fsync=fsync)
        return os.open(place, _TO_APPEND, _FILE_MODE)


def _open_below(root: str, real: str, *, fsync: bool) -> int:
    """Open a file whose path has no symbolic links, and follow none that are put there meanwhile."""
    *folders, name = Path(real).relative_to(root).parts
    with ExitStack() as closing:

        def enter(folder: str, within: int | None = None) -> int:
            fd = os.open(folder, _TO_PASS | os.O_NOFOLLOW, dir_fd=within)
            closing.callback(os.close, fd)
            return fd

        here = enter(root)
        for folder in folders:
            _make_folder(Path(folder), within=here, fsync=fsync)
            here = enter(folder, within=here)
        return os.open(name, _TO_APPEND | os.O_NOFOLLOW, _FILE_MODE, dir_fd=here)


def _make_folder(folder: Path, within: int | None = None, *, fsync: bool) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, _FOLDER_MODE, dir_fd=within)
        if fsync:
            _sync_folder(folder.parent, within)


def _sync_folder(folder: str | Path, within: int | None = None) -> None:
    """Make the entries of a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=within)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _names(place: str, fd: int) -> bool:
    """Tell whether the path still names the open file."""
    try:
        return os.path.samestat(os.stat(place), os.fstat(fd))
    except FileNotFoundError:
        return False


def _is_regular(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)
