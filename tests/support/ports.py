"""Ports for programs that must be told where to listen, or that are started again where they were."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from typing import Final

_FROM: Final = 20_000
_BELOW: Final = 32_768
"""From here on the system gives ports away: to each connection, and to who asks for any port."""


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return different ports of 127.0.0.1 on which nothing listens, and which nobody gets by chance.

    Between this and a program's start, and while it is down, another test could be given any port
    of the system's own range. The tests' seed plays no part: all processes have the same.
    """
    found: set[int] = set()
    while len(found) < count:
        port = _FROM + secrets.randbelow(_BELOW - _FROM)
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)
