"""Which peers close connections that they have not said they would close."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final

HANG_UP_S: Final = 60.0
"""So long after a hang-up a destination's connections are not kept."""
_REMEMBERED: Final = 1024


class HangUps:
    """The latest hang-ups, by destination.

    Between a peer's close and the moment this machine sees it, an event may be written to nobody.
    """

    def __init__(self) -> None:
        self._since_s: dict[Hashable, float] = {}  # the oldest first

    def note(self, destination: Hashable) -> None:
        """Record a hang-up."""
        self._since_s.pop(destination, None)
        self._since_s[destination] = asyncio.get_running_loop().time()
        if len(self._since_s) > _REMEMBERED:
            del self._since_s[next(iter(self._since_s))]

    def is_recent(self, destination: Hashable) -> bool:
        """Return whether a destination has hung up within the last `HANG_UP_S`."""
        if (since_s := self._since_s.get(destination)) is None:
            return False
        if asyncio.get_running_loop().time() - since_s < HANG_UP_S:
            return True
        del self._since_s[destination]
        return False
