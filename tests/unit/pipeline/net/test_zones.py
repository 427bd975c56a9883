"""An address with a zone is connected to in that zone, by every event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import aiohappyeyeballs
import pytest

from sonda.pipeline.net.sockets import open_socket

TCP: Final = (socket.SOCK_STREAM, 6, "")


@pytest.mark.parametrize(
    ("address", "used"),
    [
        (("fe80::1", 80, 0, 4), ("fe80::1%4", 80, 0, 4)),
        (("fe80::1%eth0", 80, 0, 4), ("fe80::1%eth0", 80, 0, 4)),
        (("::1", 80, 0, 0), ("::1", 80, 0, 0)),
        (("127.0.0.1", 80), ("127.0.0.1", 80)),
    ],
)
def test_the_zone_stands_in_the_host(
    address: tuple[Any, ...], used: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Event loops look the host up again, and one of them forgets all but host and port."""
    seen: list[Any] = []

    async def start(addresses: Any, **_options: Any) -> socket.socket:
        seen.extend(found[4] for found in addresses)
        return socket.socket()

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    asyncio.run(open_socket([(family, *TCP, address)])).close()
    assert seen == [used]
