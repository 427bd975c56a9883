"""Bodies that are made to cost much: others are served meanwhile, and memory stays bounded.

The bounds are generous, for a busy machine; what they are to catch was ten times as much.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.server.test_server import post
from tests.support.hostile_bodies import HOSTILE_BODIES
from tests.support.serving import Serving, serving

AT_ONCE: Final = 6
LAG_S: Final = 5.0
GROWTH_BYTES: Final = 300 * 1024 * 1024
DETAIL_BYTES: Final = 64 * 1024
HEALTH: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    """A server that all of them share."""
    with serving() as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def resident_bytes(server: Serving) -> int:
    """Return the memory that the server's process has in use."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def ask(server: Serving, request: bytes) -> bytes:
    """Send one request on a connection of its own, and return all of the answer."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    try:
        return await reader.read()
    finally:
        writer.close()


async def probe(server: Serving, slowest_s: list[float]) -> None:
    """Ask for the health again and again; note the longest wait."""
    while True:
        began_s = time.monotonic()
        assert b'{"status":"ok"}' in await ask(server, HEALTH)
        slowest_s[0] = max(slowest_s[0], time.monotonic() - began_s)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_a_hostile_body_harms_nobody_else(name: str, server: Serving) -> None:
    """It is refused in few words, while the health is answered and memory hardly grows."""
    body = HOSTILE_BODIES[name]
    assert len(body) < 1_048_576

    async def attack() -> tuple[list[bytes], float]:
        slowest_s = [0.0]
        probing = asyncio.create_task(probe(server, slowest_s))
        answers = await asyncio.gather(*(ask(server, post(body)) for _ in range(AT_ONCE)))
        probing.cancel()
        return answers, slowest_s[0]

    before_bytes = resident_bytes(server)
    answers, lag_s = asyncio.run(attack())
    for answer in answers:
        assert re.match(rb"HTTP/1.1 (400|422|502) ", answer), answer[:200]
        assert len(answer) < DETAIL_BYTES
    assert lag_s < LAG_S
    assert resident_bytes(server) - before_bytes < GROWTH_BYTES
