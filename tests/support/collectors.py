"""Small OTLP/gRPC servers of our own, which answer as a script says.

One is a real gRPC server; bare HTTP/2 is for what that would never do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from tests.support.destinations import Arrivals
from tests.support.faulty import Peer, Script

LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

Context: TypeAlias = grpc.ServicerContext
Answer: TypeAlias = Callable[[Context], bytes]


@dataclass(frozen=True)
class Called:
    """One call that came in."""

    path: str
    metadata: Mapping[str, str | bytes]
    body: bytes


@dataclass
class Collector:
    """Where the server listens, and what has come in."""

    address: str
    calls: Arrivals = field(default_factory=Arrivals)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@contextmanager
def collector(
    *answers: Answer, credentials: grpc.ServerCredentials | None = None, port: int = 0
) -> Iterator[Collector]:
    """Answer the first call as the first answer says, and so on; the last one goes on."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # type: ignore[type-arg]
            def export(body: bytes, context: Context) -> bytes:
                metadata = dict(context.invocation_metadata())
                here.calls.add(Called(details.method, metadata, body))
                return answers[min(len(here.calls.items), len(answers)) - 1](context)

            return grpc.unary_unary_rpc_method_handler(export, None, None)

    with ThreadPoolExecutor(max_workers=8) as workers:
        server = grpc.server(
            workers,
            handlers=[Handler()],
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)],
        )
        address = f"127.0.0.1:{port}"
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        here = Collector(f"127.0.0.1:{port}")
        server.start()
        try:
            yield here
        finally:
            server.stop(None).wait()


def accepts(_context: Context) -> bytes:
    """Say yes."""
    return b""


def rejects(count: int, message: str) -> Answer:
    """Say yes, but that so many records were rejected."""
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = count
    answer.partial_success.error_message = message
    return lambda _context: answer.SerializeToString()


def says(answer: bytes) -> Answer:
    """Say yes with these bytes."""
    return lambda _context: answer


def fails(
    code: grpc.StatusCode, message: str = "not now", *, retry_after: Duration | None = None
) -> Answer:
    """Say no with a status, and with `RetryInfo` if it is given."""

    def answer(context: Context) -> NoReturn:
        if retry_after is not None:
            detail = AnyMessage()
            detail.Pack(RetryInfo(retry_delay=retry_after))
            status = Status(code=code.value[0], message=message, details=[AnyMessage(), detail])
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
        context.abort(code, message)

    return answer


# --- bare HTTP/2 ---------------------------------------------------------------------------------

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 7, 9
_FRAME_BYTES: Final = 16_384
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
OK_HEADERS: Final = ((":status", "200"), ("content-type", "application/grpc"))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write one HTTP/2 frame; spec: RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int, *pairs: tuple[str, str], end: bool = False) -> bytes:
    """Write a header block, every field a literal; spec: RFC 7541, section 6.2.2."""
    block = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in pairs)
    return frame(_HEADERS, _END_HEADERS | (_END_STREAM if end else 0), stream, block)


def _literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def many_headers(stream: int) -> bytes:
    """Write an answer whose headers are larger than any client takes."""
    block = b"".join(b"\0" + _literal(f"x-{n}") + _literal("v" * 100) for n in range(100))
    first = frame(_HEADERS, _END_STREAM, stream, block)
    return first + frame(_CONTINUATION, _END_HEADERS, stream, block)


def message(stream: int, content: bytes = b"", *, packed: bool = False, end: bool = False) -> bytes:
    """Write one gRPC message, in frames that are not too large."""
    whole = struct.pack(">BI", packed, len(content)) + content
    parts = [whole[at : at + _FRAME_BYTES] for at in range(0, len(whole), _FRAME_BYTES)]
    last = len(parts) - 1
    return b"".join(
        frame(_DATA, _END_STREAM if end and n == last else 0, stream, part)
        for n, part in enumerate(parts)
    )


def reset_stream(stream: int, code: int) -> bytes:
    """Break one call off."""
    return frame(_RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last_stream: int, code: int = 0) -> bytes:
    """Say that no later call than *last_stream* is answered."""
    return frame(_GOAWAY, 0, 0, struct.pack(">II", last_stream, code) + b"bye")


def take_call(peer: Peer) -> int:
    """Greet, read one whole call, and give its stream."""
    greet(peer)
    return next_call(peer)


def greet(peer: Peer) -> None:
    """Do what comes before the first call."""
    peer.read_exactly(24)  # the client's preface
    peer.send(frame(_SETTINGS, 0, 0))


def next_call(peer: Peer) -> int:
    """Read one whole call, and give its stream."""
    while True:
        head = _read(peer, 9)
        payload_bytes = int.from_bytes(head[:3], "big")
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        _read(peer, payload_bytes)
        if kind == _SETTINGS and not flags & _ACK:
            peer.send(frame(_SETTINGS, _ACK, 0))
        if kind == _DATA and flags & _END_STREAM:
            return stream


def _read(peer: Peer, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = peer.read(count - len(received))
        if not part:
            raise ConnectionResetError("the client hung up")
        received += part
    return received


def answering_calls(answer: Callable[[int], bytes], then: Script = Peer.read_all) -> Script:
    """Take one call, send what *answer* makes for its stream, and go on as *then* says."""

    def script(peer: Peer) -> None:
        peer.send(answer(take_call(peer)))
        then(peer)

    return script
