"""One connection, plain or TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

from msgspec import Struct

from sonda.pipeline.net.sockets import Socket
from sonda.pipeline.net.tls_session import TlsSession

_CLOSE_NOTIFY_S: Final = 0.2
_ACKED_WITHIN_S: Final = 2.0


class TlsParameters(Struct, frozen=True):
    """How to speak TLS on a connection: the context, compared by identity, and the name to verify.

    A server may reject the client's certificate after the client takes the handshake for finished:
    with TLS 1.3 any server does, and rsyslog does with every version. Where nothing is read back,
    an event would be lost behind a yes: with *awaits_rejection* a fresh connection waits for such
    an objection before it is used.
    """

    context: ssl.SSLContext
    server_name: str
    awaits_rejection: bool = False


class Connection:
    """One connection, used by one event at a time; every failure is an `OSError`."""

    def __init__(
        self,
        sock: Socket,
        tls: TlsSession | None = None,
        on_close: Callable[[], object] | None = None,
    ) -> None:
        self.socket = sock
        self._tls = tls
        carrier = tls or sock
        self.send = carrier.send  # each is called for every event: no hop between
        self.receive = carrier.receive
        self.plain = None if tls else sock  # where nothing lies between
        self._on_close = on_close
        self.reused = False
        self.closed = False
        self.idle_s = inf  # how long the peer keeps it, as far as that is known
        self.idle_since_s = 0.0
        self.expires_s = inf  # when it is closed, if it is idle until then

    async def wait_for_room(self) -> None:
        """Wait until the operating system takes some bytes at once, or none ever again."""
        await self.socket.wait_for_room()

    def alive(self, *, peer_may_talk: bool = False) -> bool:
        """Return whether the peer is still there, as far as this machine has seen.

        Input that nobody asked for ends a connection as well, since it would be taken for an
        answer; where *peer_may_talk*, it is thrown away.
        """
        try:
            if self._tls is not None:
                return self._tls.is_alive(peer_may_talk=peer_may_talk) and not (
                    self.socket.peer_closed() or self.socket.is_stalled()
                )
        except OSError:
            return False
        return self.socket.is_listening() if peer_may_talk else not self.socket.has_input()

    def has_early_input(self) -> bool:
        """Return whether a peer that nothing has been said to has spoken already."""
        return self._tls.has_early_input() if self._tls is not None else self.socket.has_words()

    async def wait_until_acked(self) -> None:
        """Wait until all has arrived, if the peer has closed its side; raises `OSError`.

        Such a peer may only listen, or be gone: then its system wants nothing more.
        """
        if self.socket.peer_closed():
            await self.socket.wait_until_acked()

    def close(self) -> None:
        """Close at once, without TLS's goodbye."""
        if not self.closed and self._on_close is not None:
            self._on_close()
        self.closed = True
        self.socket.close()

    async def aclose(self) -> None:
        """Close with TLS's goodbye, which RFC 5425 asks for, but wait little for the peer's.

        Before that, give the peer time to get what was handed off: once the socket is closed, a
        word from the peer would make the kernel drop the rest.
        """
        if self._tls is not None:
            with suppress(OSError):
                async with asyncio.timeout(_CLOSE_NOTIFY_S):
                    await self._tls.say_goodbye()
        with suppress(OSError):
            async with asyncio.timeout(_ACKED_WITHIN_S):
                await self.socket.wait_until_acked()
        self.close()
