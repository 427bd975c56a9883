"""A connected socket of memory: what it receives is a list of bytes, and what it sends is kept."""

from __future__ import annotations

from collections.abc import Iterable

from sonda.pipeline.net.sockets import Listener, Meanwhile, Socket
from sonda.pipeline.net.unix import HANG_UP, POLLIN, POLLOUT


class MockSocket(Socket):
    """Hands out *incoming*, one piece for each `receive`, and then the end of the stream."""

    def __init__(self, incoming: Iterable[bytes] = ()) -> None:
        self.sent_bytes = 0
        self.is_closed = False
        self.incoming = list(incoming)
        self.written = bytearray()
        self.ends_after: int | None = None  # so many bytes are taken, and then the peer is gone
        self.peer_is_gone = False
        self.stalled = False
        self.unacked = False
        self.listener: Listener | None = None
        self.at_once: int | None = None  # so many bytes are taken without a wait, or all

    def send_at_once(self, data: bytes) -> int:
        """Take all of *data*, or as much as is taken without a wait."""
        self._take(data[: self.at_once])
        return len(data[: self.at_once])

    def listen(self, listener: Listener) -> None:
        """Keep who listens, to be fed by the test."""
        self.listener = listener

    async def send(self, data: bytes, meanwhile: Meanwhile | None = None) -> bool:
        """Take all of *data*, or as much as the peer takes."""
        if self.ends_after is not None and len(self.written) + len(data) > self.ends_after:
            self._take(data[: self.ends_after - len(self.written)])
            raise ConnectionResetError(104, "Connection reset by peer")
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        self.written += data
        self.sent_bytes += len(data)

    async def receive(self) -> bytes:
        """Return the next piece."""
        return self.incoming.pop(0) if self.incoming else b""

    def take_input(self) -> bytes:
        """Return all that is there."""
        taken, self.incoming = b"".join(self.incoming), []
        return taken

    def has_input(self) -> bool:
        """Return whether there is a piece, or the peer is gone."""
        return bool(self.incoming) or self.peer_is_gone

    def has_words(self) -> bool:
        """Return whether there is a piece."""
        return bool(self.incoming)

    def _flags(self) -> int:
        """Return what `poll` would."""
        here = POLLIN if self.incoming else 0
        return POLLOUT | here | (HANG_UP if self.peer_is_gone else 0)

    def is_stalled(self) -> bool:
        """Return whether what was sent does not get through."""
        return self.stalled

    def has_unacked(self) -> bool:
        """Return whether the peer's system does not have all that was written."""
        return self.unacked

    async def wait_until_acked(self) -> None:
        """Return at once: memory has it all."""

    async def wait_for_room(self) -> None:
        """Return at once: memory has room."""

    def close(self) -> None:
        """Note that it is closed."""
        self.is_closed = True
