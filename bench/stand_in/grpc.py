"""A gRPC server that answers every unary call with an empty message and the status OK.

Just enough HTTP/2 for that, written out: the servers of grpcio take longer over a call than Sonda
does, and would be what is measured. A head says nothing that matters here, so none is decoded; ours
use no entries of the compression's dynamic table, so they are constants.
Spec: RFC 9113 (frames), RFC 7541 (heads), https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final, cast

from .counts import Tally

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD_BYTES: Final = 9
DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
WINDOW_UPDATE: Final = 8
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
MOST_BYTES: Final = 2**31 - 1  # that a client may be allowed to send ahead
FIRST_BYTES: Final = 65535  # that it may send on a new connection
GRANT_BYTES: Final = 1 << 20
ROOM: Final = struct.pack("!HI", 0x4, MOST_BYTES)  # SETTINGS_INITIAL_WINDOW_SIZE, per call


def _literal(name: bytes, value: bytes) -> bytes:
    """Encode a header that is to be put into no table (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEAD: Final = b"\x88" + _literal(b"content-type", b"application/grpc")  # 0x88: `:status: 200`
MESSAGE: Final = struct.pack("!BI", 0, 0)  # uncompressed, of no bytes
TRAILERS: Final = _literal(b"grpc-status", b"0")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Put the frame's head before its payload."""
    size = len(payload)
    return struct.pack("!BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


class Grpc(asyncio.Protocol):
    """One connection, with any number of calls at a time."""

    def __init__(self, tally: Tally, delay_s: float) -> None:
        self._tally = tally
        self._delay_s = delay_s
        self._transport: asyncio.WriteTransport | None = None
        self._unread = b""
        self._greeted = False
        self._bodies: dict[int, list[bytes]] = {}  # of the calls that are still being sent
        self._used_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are registered with none of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._tally.connections += 1
        self._write(frame(SETTINGS, 0, 0, ROOM))
        self._grant(MOST_BYTES - FIRST_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        unread = self._unread + data
        at = 0
        if not self._greeted:
            if len(unread) < len(PREFACE):
                self._unread = unread
                return
            at, self._greeted = len(PREFACE), True
        while len(unread) - at >= FRAME_HEAD_BYTES:
            high, low, kind, flags, stream = struct.unpack_from("!BHBBI", unread, at)
            end = at + FRAME_HEAD_BYTES + (high << 16 | low)
            if len(unread) < end:
                break
            self._take(kind, flags, stream & 0x7FFFFFFF, unread[at + FRAME_HEAD_BYTES : end])
            at = end
        self._unread = unread[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._bodies.setdefault(stream, []).append(payload)  # padding contains no event
            self._used_bytes += len(payload)
            if self._used_bytes > GRANT_BYTES:
                self._grant(self._used_bytes)
                self._used_bytes = 0
            if flags & END_STREAM:
                self._finish(stream)
        elif kind == RST_STREAM:
            self._bodies.pop(stream, None)
        elif kind == SETTINGS and not flags & ACK:
            self._write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._write(frame(PING, ACK, 0, payload))

    def _finish(self, stream: int) -> None:
        self._tally.take(b"".join(self._bodies.pop(stream)))
        answer = (
            frame(HEADERS, END_HEADERS, stream, HEAD)
            + frame(DATA, 0, stream, MESSAGE)
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS)
        )
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._write, answer)
        else:
            self._write(answer)

    def _grant(self, size: int) -> None:
        """Let the client send so many bytes more on this connection."""
        self._write(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", size)))

    def _write(self, frames: bytes) -> None:
        if self._transport is not None:  # else the client has hung up
            self._transport.write(frames)
