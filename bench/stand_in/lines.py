"""Receivers that never answer: of lines over TCP, and of datagrams."""

from __future__ import annotations

import asyncio

from .counts import EVENT, Tally


class Lines(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tally.connections += 1

    def data_received(self, data: bytes) -> None:
        """Count the events, one that is cut in two by the end of what was read included."""
        whole = self._rest + data
        self._tally.take(whole)
        end = max(whole.rfind(EVENT) + len(EVENT), len(whole) - len(EVENT) + 1)
        self._rest = whole[end:]


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._tally.take(data)
