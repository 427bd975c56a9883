"""The sockets of a library that does not show them, found among the process's open files.

A connection that its peer has closed must be seen right before it is used. gRPC's own threads see
it a moment later, and a moment is enough to lose an event in.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sonda.pipeline.net.unix import HANG_UP, TO_READ, poll

_LOOKED_AT: Final = 64
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
        """Return whether the connection is closed, on either side, or has broken."""
        if _ends(self.number) != (self.local, self.peer):
            return True
        return bool(poll(self.number, HANG_UP))


def next_number() -> int:
    """Return the number that the next file to be opened gets; -1 if none can be opened."""
    try:
        number = os.open(os.devnull, TO_READ)
    except OSError:
        return -1
    os.close(number)
    return number


def connected_since(
    first: int, peers: Iterable[End], known: Container[Descriptor]
) -> frozenset[Descriptor]:
    """Return the sockets, opened when *first* was the `next_number`, that lead to one of *peers*.

    Numbers are given from the lowest free one up, so that a few are looked at, however many files
    are open. Those that are *known* are somebody else's. None may be found.
    """
    wanted = {_plain(peer) for peer in peers}
    numbers = range(first, first + _LOOKED_AT) if first >= 0 else ()
    found = (Descriptor(number, *ends) for number in numbers if (ends := _ends(number)))
    return frozenset(one for one in found if one.peer in wanted and one not in known)


def _ends(number: int) -> tuple[End, End] | None:
    """Return both ends of a connection; `None` for whatever else the number stands for, if anything."""
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
