"""TLS over a `Socket`, with nothing read that is not shown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from sonda.pipeline.net.sockets import CHUNK_BYTES, Meanwhile, Socket

T = TypeVar("T")


class TlsSession:
    """TLS over a `Socket`.

    Ready-made streams hide what they have read but not decrypted, which may be an answer that
    nobody asked for, and read no further once a write has failed, not even the refusal that
    explains the failure.
    """

    def __init__(self, sock: Socket, context: ssl.SSLContext, server_name: str) -> None:
        self._socket = sock
        self._received, self._unsent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._received, self._unsent, server_hostname=server_name.encode("ascii")
        )
        self._flushing = asyncio.Lock()
        self.has_received = False  # whether the peer has said anything, if only of the handshake
        self._early = b""  # what the peer said with the end of the handshake: it may be a refusal

    async def shake_hands(self) -> None:
        """Begin; raises `OSError` if one side is not content with the other."""
        try:
            await self._finish(self._tls.do_handshake)
            await self._flush()
            began = self._hear()  # it may end with what has come so far
        except ssl.SSLEOFError:
            began = bool(self._early)
        if not began:
            raise ConnectionResetError("the peer hung up")

    def _hear(self) -> bool:
        """Keep what has come in for `receive`; return whether that is something, or more may come."""
        self._received.write(self._socket.take_input())
        with suppress(ssl.SSLWantReadError):
            while said := self._tls.read(CHUNK_BYTES):
                self._early += said
            return bool(self._early)
        return True

    async def send(self, data: bytes, meanwhile: Meanwhile | None = None) -> bool:
        """Encrypt *data*, and send it as `Socket.send` does."""
        await self._finish(partial(self._tls.write, data))
        return await self._flush(meanwhile)

    async def receive(self) -> bytes:
        """Wait for some bytes; none at the end of the stream, announced or not."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return await self._finish(partial(self._tls.read, CHUNK_BYTES))
        except ssl.SSLEOFError:
            return b""

    def is_alive(self, *, peer_may_talk: bool) -> bool:
        """Look at what has come in, raises `OSError`; session tickets and the like are no talk."""
        if self._early and not peer_may_talk:
            return False
        self._early = b""
        self._received.write(self._socket.take_input())
        try:
            while self._tls.read(CHUNK_BYTES):
                if not peer_may_talk:
                    return False
        except ssl.SSLWantReadError:
            return True
        return False

    def has_early_input(self) -> bool:
        """Return whether the peer has said something with the end of the handshake."""
        return bool(self._early)

    async def say_goodbye(self) -> None:
        """Announce the end, and wait for the peer's announcement; raises `OSError`."""
        await self._finish(self._tls.unwrap)
        await self._flush()

    async def _finish(self, step: Callable[[], T]) -> T:
        """Do a step of the protocol, with all that must be sent and received for it."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self._flush()
                received = await self._socket.receive()
                if received:
                    self.has_received = True
                    self._received.write(received)
                else:
                    self._received.write_eof()

    async def _flush(self, meanwhile: Meanwhile | None = None) -> bool:
        if not self._unsent.pending:
            return True
        async with self._flushing:  # an event may be on its way while its answer is awaited
            return await self._socket.send(self._unsent.read(), meanwhile)
