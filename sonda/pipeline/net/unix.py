"""Calls that only Unix has. Elsewhere no file is locked, and nothing is known of what is unsent."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

try:
    import fcntl
    import termios
except ImportError:  # Windows has neither
    IS_UNIX = False
else:
    IS_UNIX = True

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


def has_much_room(fd: int) -> bool:
    """Return whether a pipe has room for an event, and for all that a program may have buffered.

    Pages that are read or written in part count for full ones.
    """
    if not IS_UNIX or not hasattr(fcntl, "F_GETPIPE_SZ"):  # Linux has it
        return False
    (unread,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return bool(2 * unread + _MUCH_ROOM_BYTES <= fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))


def has_unsent(sock: socket.socket) -> bool:
    """Return whether the system holds bytes that the peer has not acknowledged."""
    return IS_UNIX and any(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))  # a count, packed
