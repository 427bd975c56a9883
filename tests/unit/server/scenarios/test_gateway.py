"""A worker's way to the runner, without a runner."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import pytest

from sonda.server.live_config import LiveConfig
from sonda.server.scenarios.gateway import Gateway
from sonda.server.scenarios.runner_home import RunnerHome
from sonda.server.settings import Settings

_ANSWER = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{"states":{}}'


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_ANSWER)
    writer.close()
    await writer.wait_closed()


def test_no_ca_is_read_for_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read them all keeps the event loop, and so every event, for fifty milliseconds."""
    read: list[object] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda **given: read.append(given))

    async def main() -> Mapping[str, Any]:
        home = RunnerHome()
        gateway = Gateway(Settings(), LiveConfig(), (), home, lambda: True)
        try:
            async with await asyncio.start_unix_server(_answer, home.socket):
                return await gateway.status()
        finally:
            await gateway.aclose()
            home.close()

    assert asyncio.run(main()) == {"states": {}}
    assert read == []
