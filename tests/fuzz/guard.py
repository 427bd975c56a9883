"""What a program that is fuzzed may touch; anything else is an error at once, whoever asks for it."""

from __future__ import annotations

import sys
from typing import Any, Final

_OF_THE_NETWORK: Final = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.bind")


class Forbidden(BaseException):
    """Not an `Exception`: nobody catches it by the way."""


def nothing_leaves() -> None:
    """Refuse every connection, datagram and look-up from here on, to the end of the process."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _OF_THE_NETWORK:
            raise Forbidden(event, arguments)

    sys.addaudithook(refuse)
