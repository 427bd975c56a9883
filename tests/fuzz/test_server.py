"""A real server and bytes that are hardly HTTP: it answers as the contract says, or hangs up."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sonda.envelope import CODES
from tests.fuzz.choices import Choices
from tests.fuzz.guard import CAUGHT
from tests.fuzz.requests import Request, Targets, request
from tests.fuzz.scale import SCALE
from tests.fuzz.world import OWN, destinations
from tests.support.serving import Serving, serving

HERE: Final = Path(__file__).parent
AT_ONCE: Final = 40
CHOICES_BYTES: Final = 200
PATIENCE_S: Final = 30.0
LAST: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Follows the bytes that are meant to hurt: who still keeps in step with them answers, and hangs up."""
_ANSWER: Final = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\n\r\n", re.DOTALL)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_VERSIONS: Final = (
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/0.9",
    b"",
    b"http/1.1",
    b"HTTP/1.1 ",
)
_LINES: Final = (
    b"Content-Length: 1", b"Content-Length: -1", b"Content-Length: +2", b"Content-Length: 0x2", b"Content-Length: 1, 1",
    b"Content-Length: " + b"9" * 400, b"Content-Length: " + b"0" * 5_000 + b"2", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding : chunked", b"Connection: close", b"Connection: keep-alive, upgrade", b"Upgrade: websocket",
    b"Upgrade: h2c", b"Expect: 100-continue", b"Expect: 200-ok", b"Host: a", b" folded: x", b"x y: z", b"\x00: \x00",
    b"x: a\rb", b"x:\xff\xfe", b"x" * 70_000 + b": y", b"x: " + b"y" * 70_000, b"no colon", b": empty", b"x: \x7f",
)  # fmt: skip


def test_a_server_bears_bytes(tmp_path: Path, seed: int, report: list[str]) -> None:
    """It answers in the contract's words or hangs up, both in time; and it lives to stop in peace."""
    folder = tmp_path / "root"
    (folder / "tls").mkdir(parents=True)
    (tmp_path / "temp").mkdir()
    statuses: Counter[str] = Counter()
    numbers = count()
    with asyncio.Runner() as runner:
        opening = destinations()
        targets, _ = runner.run(opening.__aenter__())
        try:
            with confined(folder, targets) as server:

                @hypothesis.seed(seed)
                @settings(
                    max_examples=SCALE.connections // AT_ONCE,
                    database=None,
                    report_multiple_bugs=False,
                    deadline=None,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                )
                @given(
                    st.binary(min_size=AT_ONCE * CHOICES_BYTES, max_size=AT_ONCE * CHOICES_BYTES)
                )
                def hold(raw: bytes) -> None:
                    sent = [
                        conversation(Choices(raw[at : at + CHOICES_BYTES]), next(numbers), targets)
                        for at in range(0, len(raw), CHOICES_BYTES)
                    ]
                    for answered in runner.run(talk_to(server, sent)):
                        statuses.update(answered)

                try:
                    hold()
                finally:
                    print(server.log[-20_000:])  # noqa: T201  # shown if it fails
                assert server.stop() == 0
                server.wait_for_end_of_log()
                log = server.log
        finally:
            runner.run(opening.__aexit__(None, None, None))
    told = ", ".join(f"{status}: {statuses[status]:,}" for status in sorted(statuses))
    report.append(f"connections: {SCALE.connections:,} to a real server; {told}")
    assert CAUGHT not in log
    assert "Traceback" not in log
    assert {"200", "400", "403", "404", "405", "415", "422"} <= statuses.keys()


def confined(folder: Path, targets: Targets) -> AbstractContextManager[Serving]:
    """Run a server that may reach *targets* and write to *folder*; a guard inside it watches over that."""
    allowed = [f"--allow-destination={OWN}:{port}" for port in targets.ports]
    limits = ("--request-timeout=0.2", "--max-body-bytes=32768")
    environ = {
        "PYTHONPATH": os.pathsep.join((str(HERE / "at_start"), str(HERE.parents[1]))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FUZZ_FOLDER": str(folder),
        "TMPDIR": str(folder.parent / "temp"),
        "FUZZ_PORTS": ",".join(map(str, targets.ports)),
    }
    return serving(
        *allowed, *limits, "--tls-root", str(folder / "tls"), environ=environ, folder=folder
    )


def conversation(choices: Choices, number: int, targets: Targets) -> bytes:
    """Write a few requests, some of them badly."""
    written = b"".join(
        spelled(request(choices, f"mk{number}", targets), choices)
        for _ in range(1 + choices.below(2))
    )
    choices.wild = True
    if choices.odds(4):
        at = choices.below(len(written) + 1)
        written = written[:at] + choices.take(choices.below(6)) + written[at + choices.below(9) :]
    return written + LAST


def spelled(asked: Request, choices: Choices) -> bytes:
    """Write one request as HTTP/1.1 has it, or nearly."""
    choices.wild = choices.odds(3)
    method = "GET" if asked.method == "HEAD" else asked.method  # its answer would tell no length
    target = quote_from_bytes(asked.path.encode()).encode() or b"/"
    if asked.query:
        target += b"?" + asked.query
    version = choices.one_of(_VERSIONS) if choices.astray(10) else b"HTTP/1.1"
    lines = [b"%b %b %b" % (method.encode(), target, version), *_headers(asked)]
    body = b"".join(asked.chunks)
    if not any(name == b"content-length" for name, _ in asked.headers):
        if choices.below(2):
            lines.append(b"Transfer-Encoding: chunked")
            body = b"".join(_chunk(part, choices) for part in asked.chunks) + b"0\r\n\r\n"
        elif not choices.astray(8):
            lines.append(b"Content-Length: %d" % len(body))
    if choices.astray(3):
        lines.insert(1 + choices.below(len(lines)), choices.one_of(_LINES))
    end = b"\n" if choices.astray(12) else b"\r\n"
    return end.join([*lines, b"", body])


def _headers(asked: Request) -> Iterator[bytes]:
    for name, value in asked.headers:
        if name != b"transfer-encoding":
            yield b"%b: %b" % (name, value)


def _chunk(part: bytes, choices: Choices) -> bytes:
    if not part:
        return b""
    size = b"%x" % (len(part) + choices.astray(12))
    return size + (b";a=b" if choices.astray(6) else b"") + b"\r\n" + part + b"\r\n"


async def talk_to(server: Serving, sent: list[bytes]) -> list[list[str]]:
    """Send all at once, each on a connection of its own, and give the statuses of the answers."""
    talking = asyncio.gather(*(talk(server, each) for each in sent))
    return await asyncio.wait_for(talking, PATIENCE_S)


async def talk(server: Serving, sent: bytes) -> list[str]:
    """Send, and judge what comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    back = b""
    try:
        writer.write(sent)
        while some := await reader.read(65_536):
            back += some
    except ConnectionError:  # it had heard enough
        pass
    finally:
        writer.close()
    return [*judged(back, sent)]


def judged(back: bytes, sent: bytes) -> Iterator[str]:
    """Hold each answer to the contract, and name its status."""
    whole = f"sent {sent!r}\ngot {back!r}"
    while back:
        head = _ANSWER.match(back)
        assert head is not None, whole
        status = int(head[1])
        back = back[head.end() :]
        if status == HTTPStatus.CONTINUE:
            continue
        length = _LENGTH.search(head[0])
        assert length is not None, whole
        assert b"\r\ncontent-type: application/json\r\n" in head[0], whole
        body, back = back[: int(length[1])], back[int(length[1]) :]
        document = json.loads(body.decode())
        if status != HTTPStatus.OK:
            assert document["error"] == CODES[status], whole
            assert document["detail"].isprintable(), whole
        assert status != HTTPStatus.INTERNAL_SERVER_ERROR, whole
        yield str(status)
