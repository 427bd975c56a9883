"""A server in this process, called as an ASGI server would, and destinations that take what comes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.policy.destinations import Policy, parse_rule
from sonda.server.app import ServerApp, assemble
from sonda.server.settings import Settings
from tests.fuzz.requests import KEY, Request, Targets
from tests.fuzz.shapes import SINKS

OWN: Final = "127.0.0.1"
REQUEST_TIMEOUT_S: Final = 0.15
MAX_BODY_BYTES: Final = 32_768
_STATUS: Final = re.compile(rb"POST /s/(\d+)")
_HEADERS: Final = (
    b"",
    b"retry-after: 1\r\n",
    b"retry-after: " + b"9" * 5_000 + b"\r\n",
    b"retry-after: Thu, 01 Jan 99999 00:00:00 +9999\r\n",
    b"retry-after: \xff\r\nretry-after: 0\r\n",
    b"content-type: text/\xff; charset=nothing\r\ncontent-encoding: gzip\r\n",
)
"""What an answer may carry, whatever its status."""
_SAID: Final = (b"", b"no", b"\xff\xfe\x00", b"{\x1b[31m\r\n}", b"x" * 70_000, "né \u2028".encode())
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """One answer, as it left the app."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass
class World:
    """The apps, one of them with a key, the destinations, and all that has arrived there."""

    plain: ServerApp
    keyed: ServerApp
    targets: Targets
    arrived: bytearray = field(default_factory=bytearray)

    async def ask(self, request: Request) -> Reply:
        """Send a request to the app that it is for."""
        app = self.keyed if request.to_keyed else self.plain
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in request.chunks
        ]
        end = {"type": "http.disconnect"}
        messages.append(end if request.hangs_up else {"type": "http.request", "body": b""})
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else end

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(_scope(request), receive, send)
        start, *rest = sent
        assert [message["type"] for message in sent] == [
            "http.response.start",
            *["http.response.body"] * len(rest),
        ]
        return Reply(
            start["status"], start["headers"], b"".join(part.get("body", b"") for part in rest)
        )


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(errors="replace"),
        "query_string": request.query,
        "headers": request.headers,
        "root_path": "",
        "scheme": "http",
        "server": (OWN, 8080),
        "client": (OWN, 1),
    }


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Open it; files are written below *folder*."""
    async with destinations() as (targets, arrived):
        rules = tuple(parse_rule(f"{OWN}:{port}", ()) for port in targets.ports)
        access_policy = AccessPolicy(folder, folder / "tls", Policy(rules))
        async with Pipeline(access_policy=access_policy, in_server=True) as pipeline:
            plain, keyed = (
                assemble(
                    Settings(
                        api_key=key,
                        request_timeout_s=REQUEST_TIMEOUT_S,
                        max_body_bytes=MAX_BODY_BYTES,
                    ),
                    pipeline,
                )
                for key in ("", KEY)
            )
            yield World(plain, keyed, targets, arrived)


@asynccontextmanager
async def destinations() -> AsyncIterator[tuple[Targets, bytearray]]:
    """Open the destinations, which all add what they get to one heap."""
    arrived = bytearray()
    async with contextlib.AsyncExitStack() as stack:
        posts = await stack.enter_async_context(_listening(_answer, arrived))
        lines = await stack.enter_async_context(_listening(_take, arrived))
        datagrams = await stack.enter_async_context(_datagrams(arrived))
        calls = lines
        if "otlp_grpc" in SINKS:
            calls = await stack.enter_async_context(_collector(arrived))
        closed = stack.enter_context(socket.socket())
        closed.bind((OWN, 0))
        refusing = closed.getsockname()[1]
        statuses = (100, 301, 400, 429, 503, 999)
        urls = (
            *(f"http://{OWN}:{posts}{path}" for path in ("", "/", "/s/204/x?y=z", "/s/200")),
            *(f"http://{OWN}:{posts}/s/{status}" for status in statuses),
            *(f"http://{OWN}:{calls}{path}" for path in ("", "/", "?x")),
            f"http://me:secret@{OWN}:{posts}",
            f"https://{OWN}:{posts}",
            f"HTTPS://{OWN}:{lines}/x",
            f"http://{OWN}:{lines}",
            f"http://{OWN}:{refusing}",
        )
        ports = (lines, lines, lines, posts, datagrams, calls, refusing)
        yield Targets(urls, tuple(f"{OWN}:{port}" for port in ports)), arrived


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytearray], Awaitable[None]]


@asynccontextmanager
async def _listening(serve: Serve, arrived: bytearray) -> AsyncIterator[int]:
    """Serve on a free port; what arrives is added to *arrived*."""
    serving: set[asyncio.Task[None]] = set()

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        serving.add(this)
        try:
            with contextlib.suppress(
                OSError,
                asyncio.CancelledError,
                asyncio.IncompleteReadError,
                asyncio.LimitOverrunError,
            ):
                await serve(reader, writer, arrived)
        finally:
            serving.discard(this)
            writer.close()

    server = await asyncio.start_server(welcome, OWN, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, arrived: bytearray
) -> None:
    """Answer POSTs with the status that their path names, or 204; hang up on anything else."""
    while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"POST "):
        length = _LENGTH.search(head)
        arrived += head + await reader.readexactly(int(length[1]) if length else 0)
        named = _STATUS.match(head)
        status = int(named[1]) if named else 204
        said = b"" if status == HTTPStatus.NO_CONTENT else _SAID[len(arrived) % len(_SAID)]
        header = _HEADERS[len(arrived) % len(_HEADERS)]
        writer.write(
            b"HTTP/1.1 %d x\r\n%bcontent-length: %d\r\n\r\n%b" % (status, header, len(said), said)
        )
        await writer.drain()


async def _take(
    reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, arrived: bytearray
) -> None:
    """Take what comes, and say nothing."""
    while taken := await reader.read(65_536):
        arrived += taken


@asynccontextmanager
async def _datagrams(arrived: bytearray) -> AsyncIterator[int]:
    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, datagram: bytes, _from: Any) -> None:
            arrived.extend(datagram)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Protocol, (OWN, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@asynccontextmanager
async def _collector(arrived: bytearray) -> AsyncIterator[int]:
    """Say yes to every OTLP export."""
    import grpc.aio

    async def export(request: bytes, _context: Any) -> bytes:
        arrived.extend(request)
        return b""

    class Handler(grpc.GenericRpcHandler):
        def service(self, _call: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server(handlers=(Handler(),))
    port = server.add_insecure_port(f"{OWN}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
