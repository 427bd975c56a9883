"""What a TLS server says with the end of its handshake is kept."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

import pytest
import trustme

from sonda.pipeline.net.sockets import Meanwhile, Socket
from sonda.pipeline.net.tls_session import TlsSession

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull"
AUTHORITY = trustme.CA()


class Peer:
    """A server in memory that refuses as soon as it has shaken hands, in place of a `Socket`."""

    def __init__(self, says: bytes, *, closes: bool) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("loki").configure_cert(context)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._says, self._closes, self._is_ready = says, closes, False

    async def send(self, data: bytes, meanwhile: Meanwhile | None = None) -> bool:
        self._in.write(data)
        try:
            if not self._is_ready:
                self._tls.do_handshake()
                self._is_ready = True
                self._tls.write(self._says)
                if self._closes:
                    self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return True

    async def receive(self) -> bytes:
        return self._out.read()

    def take_input(self) -> bytes:
        return self._out.read()


async def session(says: bytes, *, closes: bool) -> TlsSession:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    made = TlsSession(cast("Socket", Peer(says, closes=closes)), context, "loki")
    await made.shake_hands()
    return made


@pytest.mark.parametrize("closes", [False, True])
def test_an_early_refusal_is_received(closes: bool) -> None:
    """It came with the handshake; the peer may have hung up after it."""

    async def main() -> None:
        tls = await session(REFUSAL, closes=closes)
        assert await tls.receive() == REFUSAL
        assert tls.is_alive(peer_may_talk=False) is not closes

    asyncio.run(main())


def test_a_connection_with_an_early_answer_is_not_reused() -> None:
    """What nobody asked for would be taken for the next answer, unless nothing is read at all."""

    async def main() -> None:
        assert not (await session(REFUSAL, closes=False)).is_alive(peer_may_talk=False)
        assert (await session(REFUSAL, closes=False)).is_alive(peer_may_talk=True)

    asyncio.run(main())


def test_a_peer_that_hangs_up_at_once() -> None:
    """Without a word it is no connection."""
    with pytest.raises(ConnectionResetError, match="the peer hung up"):
        asyncio.run(session(b"", closes=True))
