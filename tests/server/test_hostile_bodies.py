"""Bodies that are made to cost much: others are served meanwhile, and memory stays bounded.

The bounds are generous, for a busy machine; what they are to catch was ten times as much.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.server.test_server import post
from tests.support.bodies import LOG, METRIC, changed
from tests.support.serving import Serving, serving

AT_ONCE: Final = 6
LAG_S: Final = 5.0
GROWTH_BYTES: Final = 300 * 1024 * 1024
DETAIL_BYTES: Final = 64 * 1024
SIZE: Final = 900_000
HEALTH: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def tcp(address: str) -> dict[str, Any]:
    """Return a body whose sink has this address."""
    return changed(LOG, sink={"type": "tcp", "address": address})


def http(**options: Any) -> dict[str, Any]:
    """Return a body whose sink is http_push with these options."""
    return changed(LOG, sink={"type": "http_push", "url": "http://127.0.0.1:1", **options})


BODIES: Final[dict[str, Any]] = {
    "labels that are numbers": changed(LOG, labels={f"l{n}": n for n in range(70_000)}),
    "labels with bad names": changed(LOG, labels={f"a-{n}": "x" for n in range(70_000)}),
    "fields that are lists": changed(LOG, log__fields={f"f{n}": [] for n in range(70_000)}),
    "unknown fields": {**LOG, **{f"u{n}": 1 for n in range(70_000)}},
    "a long unknown field": {**LOG, "u" * SIZE: 1},
    "a long path": changed(LOG, sink={"type": "file", "path": "a/" * (SIZE // 2)}),
    "an IPv6 address": tcp(f"[{'1:' * (SIZE // 2)}]:1"),
    "an address": tcp("a" * SIZE),
    "a long label": tcp(".".join(["a" * 63] * (SIZE // 64)) + ":1"),
    "a URL": http(url="http://" + "a." * (SIZE // 2)),
    "userinfo": http(url="http://" + "a:" * (SIZE // 2) + "@x"),
    "headers": http(headers={f"h {n}": "x" for n in range(60_000)}),
    "a long duration": http(timeout="9" * SIZE + "h"),
    "retry": http(retry={f"r{n}": n for n in range(60_000)}),
    "brokers": changed(LOG, sink={"type": "kafka", "brokers": "a:b," * (SIZE // 4), "topic": "t"}),
    "a timestamp": {**LOG, "timestamp": "1" * SIZE},
    "a severity": changed(LOG, log__severity="w" * SIZE),
    "a metric name": changed(METRIC, metric__name="1" * SIZE),
}
RAW: Final = {
    "brackets": b"[" * SIZE,
    "braces": b'{"a":' * (SIZE // 5),
    "digits": b'{"signal_type":' + b"9" * SIZE + b"}",
    "exponents": b"[" + b"1e999," * (SIZE // 6) + b"1]",
    "escapes": b'{"signal_type":"' + b"\\u0000" * (SIZE // 6) + b'"}',
    "surrogates": b'{"signal_type":"' + b"\\ud800" * (SIZE // 6) + b'"}',
    "equal names": b"{" + b'"a":1,' * (SIZE // 6) + b'"a":1}',
    "blanks": b" " * SIZE + b"{",
    "no UTF-8": b'{"signal_type":"' + b"\xff" * SIZE + b'"}',
}


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


@pytest.mark.parametrize("name", [*BODIES, *RAW])
def test_a_hostile_body_harms_nobody_else(name: str, server: Serving) -> None:
    """It is refused in few words, while the health is answered and memory hardly grows."""
    body = RAW[name] if name in RAW else json.dumps(BODIES[name], separators=(",", ":")).encode()
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
