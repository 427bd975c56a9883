"""The sockets of a library that does not show them, found among the process's open files.

A connection that its peer has closed must be seen right before it is used. gRPC's own threads see
it a moment later, and a moment is enough to lose an event in.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

_OPEN_FILES: Final = "/dev/fd"
_HANG_UP: Final = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)
_MAPPED: Final = "::ffff:"

End: TypeAlias = tuple[str, int]
"""An address and a port, of IPv4 without the wrapping that an IPv6 socket gives it."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A connected socket: its number, and both ends, since numbers are given anew."""

    number: int
    local: End
    peer: End

    def peer_closed(self) -> bool:
        """Tell whether the connection is closed, on either side, or has broken."""
        if _ends(self.number) != (self.local, self.peer):
            return True
        poller = select.poll()
        poller.register(self.number, _HANG_UP)
        return bool(poller.poll(0))


def connected_to(peers: Iterable[End]) -> frozenset[Descriptor]:
    """Find the sockets that are connected to one of these; none where open files cannot be listed."""
    wanted = {_plain(peer) for peer in peers}
    try:
        numbers = [int(name) for name in os.listdir(_OPEN_FILES)]  # noqa: PTH208  # not paths
    except OSError:
        return frozenset()
    found = ((number, _ends(number)) for number in numbers)
    return frozenset(
        Descriptor(number, *ends) for number, ends in found if ends and ends[1] in wanted
    )


def _ends(number: int) -> tuple[End, End] | None:
    """Give both ends of a connection; `None` for whatever else the number stands for, if anything."""
    try:
        borrowed = socket.socket(fileno=number)
    except OSError:
        return None
    try:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        return _plain(borrowed.getsockname()), _plain(borrowed.getpeername())
    except OSError:
        return None
    finally:
        borrowed.detach()  # it is not ours to close


def _plain(end: tuple[Any, ...]) -> End:
    host, port = end[:2]
    return str(host).removeprefix(_MAPPED), int(port)
