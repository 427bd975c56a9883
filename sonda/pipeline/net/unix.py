"""Calls that only Unix has, or only some of it.

On Windows no file is locked, nothing is known of what is unsent, and a file is opened by its whole
path. All of it is tried on Linux with these calls taken away; none of it was run on Windows.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Final

try:
    import fcntl
    import resource
    import termios
except ImportError:  # Windows has neither
    IS_UNIX = False
else:
    IS_UNIX = True


def _flags(*names: str) -> int:
    """Return the flags of these names that the platform has."""
    found = 0
    for name in names:
        found |= getattr(os, name, 0)
    return found


_OWN: Final = ("O_CLOEXEC", "O_NOINHERIT", "O_BINARY")  # the last two are Windows'
TO_READ: Final = _flags("O_RDONLY", "O_NONBLOCK", "O_NOCTTY", *_OWN)
TO_APPEND: Final = _flags("O_WRONLY", "O_APPEND", "O_CREAT", "O_NONBLOCK", "O_NOCTTY", *_OWN)
TO_PASS: Final = _flags("O_PATH", "O_DIRECTORY", "O_CLOEXEC")
"""To open a folder on the way to a file; to read it, where a platform has no `O_PATH`."""
NO_FOLLOW: Final = _flags("O_NOFOLLOW")

HAS_POLL: Final = hasattr(select, "poll")
POLLIN: Final = getattr(select, "POLLIN", 1)
POLLOUT: Final = getattr(select, "POLLOUT", 4)
BROKEN: Final = getattr(select, "POLLHUP", 16) | getattr(select, "POLLERR", 8)
HANG_UP: Final = BROKEN | getattr(select, "POLLRDHUP", 0)  # Linux has it
PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)

MOUNTS: Final = Path("/proc/self/mountinfo")
_LOCAL_FILE_SYSTEMS: Final = frozenset({b"ext2", b"ext3", b"ext4", b"xfs"})
_MUCH_ROOM_BYTES: Final = (
    32768  # twice a text stream's buffer of 8 KiB and a binary one's, an event
)


def lock_inode(fd: int) -> None:
    """Lock a file for all who open it anew; raise `OSError` where somebody else holds the lock."""
    if IS_UNIX:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock_inode(fd: int) -> None:
    """Release what `lock_inode` has locked; raise `OSError`."""
    if IS_UNIX:
        fcntl.flock(fd, fcntl.LOCK_UN)


def lock_for_process(fd: int) -> None:
    """Lock a file for this process alone, forks excluded; raise `OSError` where it is locked."""
    if IS_UNIX:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock_for_process(fd: int) -> None:
    """Release what `lock_for_process` has locked; raise `OSError`."""
    if IS_UNIX:
        fcntl.lockf(fd, fcntl.LOCK_UN)


def is_appending(fd: int) -> bool:
    """Return whether every write goes to the end of the file."""
    return IS_UNIX and bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)


@lru_cache(maxsize=16)
def tells_at_close(device: int) -> bool:
    """Return whether to close a file of this device may tell of a write to it that has failed.

    That is so for all but a disk of this machine with one of its own file systems. A device without
    a disk (its major number is 0) may be another one's tomorrow, and a network's.
    """
    if not IS_UNIX or not os.major(device):
        return True
    number = f"{os.major(device)}:{os.minor(device)}".encode()
    try:
        mounts = [line.split() for line in MOUNTS.read_bytes().splitlines()]
    except OSError:  # only Linux has it
        return True
    kinds = {fields[fields.index(b"-") + 1] for fields in mounts if fields[2] == number}
    return not kinds or bool(kinds - _LOCAL_FILE_SYSTEMS)


def has_much_room(fd: int) -> bool:
    """Return whether a pipe has room for an event, and for all that a program may have buffered.

    Pages that are read or written in part count for full ones.
    """
    if not IS_UNIX or not hasattr(fcntl, "F_GETPIPE_SZ"):  # Linux has it
        return False
    (unread,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return bool(2 * unread + _MUCH_ROOM_BYTES <= fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))


_OF_THREAD: Final = getattr(resource, "RUSAGE_THREAD", None) if IS_UNIX else None
_unknown_waits: Final = count()


def count_waits() -> int:
    """Return how often this thread has waited for something, not for the processor alone.

    Only Linux counts that; elsewhere each call returns another number.
    """
    if _OF_THREAD is None:
        return next(_unknown_waits)
    return resource.getrusage(_OF_THREAD).ru_nvcsw


def poll(file: socket.socket | int, events: int, timeout_ms: int = 0) -> int:
    """Return those of *events* that have come about; a connection that is closed is `HANG_UP`."""
    if HAS_POLL:
        poller = select.poll()
        poller.register(file, events)
        pending = poller.poll(timeout_ms)
        return pending[0][1] if pending else 0
    if not isinstance(file, socket.socket):
        return events & POLLOUT  # Windows cannot ask a pipe: the write waits
    _, room, _ = select.select([], [file], [], timeout_ms / 1000)
    return (_input(file) & events) | (events & POLLOUT if room else 0)


def look_at(sock: socket.socket) -> Callable[[], Sequence[tuple[int, int]]]:
    """Return what tells at any time what has come about at an open socket.

    It returns a pair, whose second is its flags, or nothing. It is called for every event: on Unix
    no code of ours runs.
    """
    events = POLLIN | POLLOUT | HANG_UP
    if not HAS_POLL:
        return lambda: ((0, poll(sock, events)),)
    poller = select.poll()
    poller.register(sock, events)
    return partial(poller.poll, 0)


def _input(sock: socket.socket) -> int:
    """Return what can be read from a socket that does not block, without taking it."""
    try:
        return POLLIN if sock.recv(1, socket.MSG_PEEK) else POLLIN | HANG_UP
    except BlockingIOError:
        return 0
    except OSError:
        return POLLIN | HANG_UP


def read_at(fd: int, size_bytes: int, offset: int) -> bytes:
    """Read from a place of a file that nobody else reads by this descriptor."""
    if hasattr(os, "pread"):
        return os.pread(fd, size_bytes, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size_bytes)


def has_unsent(sock: socket.socket) -> bool:
    """Return whether the system holds bytes that the peer has not acknowledged."""
    return IS_UNIX and any(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))  # a count, packed
