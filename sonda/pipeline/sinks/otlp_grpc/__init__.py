"""An OpenTelemetry collector, or anything that speaks OTLP over gRPC: one event, one call.

**Confirmed:** status OK, and nothing rejected in the answer.
Spec: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, Confirmed, Payload, Pending
from sonda.pipeline.net import Network
from sonda.pipeline.net.batching import BATCH_BYTES
from sonda.pipeline.net.connection import TlsParameters
from sonda.pipeline.net.otlp_answer import rejected_of
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.retry import Outcome, Retry, deliver_with_retries
from sonda.pipeline.net.sockets import reason
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.pieces import pieces_of_requests
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.sinks import Sink
from sonda.pipeline.sinks.otlp_grpc.channels import Channels, Destination, Metadata
from sonda.pipeline.text.escape import ANSWER_CHARACTERS, QUOTED_CHARACTERS, excerpt, shown
from sonda.pipeline.text.redact import (
    mask,
    quote_words,
    repr_without_secrets,
    secrets_of_headers,
    secrets_of_userinfo,
)
from sonda.pipeline.unknown_or_unsent import cut_off
from sonda.pipeline.values.addresses import Address, address_of, basic_auth, parse_http_url
from sonda.pipeline.wire_preview import WirePreview

_CLOCKS_DIFFER_S: Final = 0.01  # gRPC's and the event loop's
_LOGS: Final = logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"]
_METRICS: Final = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]
_METHOD: Final = "Export"
_MAY_PASS: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_MAY_BE_STORED: Final = _MAY_PASS | {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
# A status that gRPC makes up looks like one of the server's but for its words, and these are they
# (docs/adr/0008): a server that says them passes on what a gRPC library behind it has made up.
_NEVER_SENT: Final = re.compile(r"failed to connect to all addresses|empty address list")
_MADE_UP: Final = re.compile(
    r"Stream removed\b|ping timeout|keepalive (watchdog )?timeout|Socket closed\b|(recv|send)msg:|Received RST_STREAM with|GOAWAY received"
    r"|No status received|(CLIENT: Received|Decompressed) message larger|Error parsing '"
    r"|Decompression failed|Unexpected error decompressing|Compression algorithm"
    r"|received (initial |trailing )?metadata size|Failed parsing HTTP/2|Trying to connect an http1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpGrpc:
    """Options of the `otlp_grpc` sink; *headers* are the call's metadata."""

    endpoint: str
    signal_type: Literal["logs", "metrics"]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    batch_size: int = 1000
    max_buffer_age: str = "0s"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None
    __repr__ = repr_without_secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collector:
    """What all events for one destination share; *target* is the name that problems use for it."""

    target: str
    address: Address
    secure: bool
    tls: Tls | None
    retry: Retry | None
    metadata: Metadata = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def open_collector(options: OtlpGrpc, _network: Network) -> _Collector:
    """Return what all events with these options have in common."""
    url = parse_http_url(options.endpoint)
    userinfo = url.userinfo.decode("ascii")
    host, port = address_of(url)
    return _Collector(
        target=shown(options.endpoint),
        address=Address(host.strip("[]"), port),
        secure=url.scheme == "https",
        tls=options.tls,
        retry=options.retry,
        metadata=_metadata(options.headers, basic_auth(url)),
        secrets=(*secrets_of_headers(options.headers), *secrets_of_userinfo(userinfo)),
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """One event's call."""

    collector: _Collector
    payload: Payload

    def own_words(self, text: str, limit: int = ANSWER_CHARACTERS) -> str:
        """Return the collector's words without our credentials, which it may have sent back."""
        return quote_words(text, self.collector.secrets, limit)


async def push(
    payload: Payload, collector: _Collector, network: Network, deadline: Deadline
) -> Result[Pending, Problem]:
    """Return the delivery of the event, which makes one call with the encoder's bytes."""
    attempt = partial(_attempt, _Call(collector, payload), network, deadline)
    return Success(partial(deliver_with_retries, attempt, collector.retry, deadline))


async def _destination(collector: _Collector, network: Network) -> Result[Destination, Problem]:
    """Return the channel's key, TLS files read; fail with `Forbidden`, or `Unreachable` for a file."""
    address, metadata = collector.address, collector.metadata
    if not collector.secure:
        return Success(Destination(address, metadata=metadata))
    name = _server_name(collector)
    loaded = await network.tls.read(collector.tls)
    return loaded.map(
        lambda files: Destination(address, TlsParameters(files.context, name), files.pem, metadata)
    )


def _server_name(collector: _Collector) -> str:
    tls = collector.tls
    return ((tls and tls.server_name) or collector.address.host).rstrip(".")


def describe(payload: Payload, options: OtlpGrpc, network: Network) -> Result[WirePreview, Problem]:
    """Return the call that would be made; fail with `Forbidden` for the destination or a TLS file."""
    collector = open_collector(options, network)
    departure = WirePreview(
        collector.target,
        "the message of one call",
        payload.body,
        {
            "service": _service(payload),
            "method": _METHOD,
            **({"tls": _server_name(collector)} if collector.secure else {}),
        },
        mask(collector.metadata),
    )
    permitted = network.resolver.permit("otlp_grpc", collector.address)
    return permitted.bind(lambda _: network.tls.permit(options.tls)).map(lambda _: departure)


def _service(payload: Payload) -> str:
    service = _LOGS if payload.event.signal_type == "logs" else _METRICS
    return service.full_name


def _metadata(headers: Mapping[str, str], login: str | None) -> Metadata:
    given = tuple((name.lower(), value) for name, value in headers.items())
    if login is None or any(name == "authorization" for name, _ in given):
        return given
    return (("authorization", login), *given)


async def _attempt(call: _Call, network: Network, deadline: Deadline) -> Outcome:
    """Call once, on a channel that is connected, kept or fresh."""
    permitted = network.resolver.permit("otlp_grpc", call.collector.address)
    destination = await then(permitted, lambda _: _destination(call.collector, network))
    if not isinstance(destination, Success):
        return Failure(AttemptFailure(destination.failure(), reached=False))
    has_left = False
    try:
        async with (
            asyncio.timeout_at(deadline.at_s) as limit,
            network.shared(Channels).lease(destination.unwrap()) as channel,
        ):
            left_s = deadline.left_s()
            if left_s <= 0:
                raise TimeoutError  # before anything has left
            has_left = True
            limit.reschedule(None)  # from here on gRPC keeps the deadline, and tells the collector
            answer = await _export(call, channel, left_s)
    except asyncio.CancelledError as exc:
        target, time_ns = call.collector.target, call.payload.event.time_ns
        explain(exc, cut_off(target, _step(call), has_left=has_left, time_ns=time_ns))
        raise
    except DestinationNotAllowed as exc:
        return Failure(AttemptFailure(exc.problem, reached=False))
    except OSError as exc:
        unreachable = Unreachable(_step(call), reason(exc, deadline))
        return Failure(AttemptFailure(unreachable, retryable=True))
    except grpc.aio.AioRpcError as status:
        return _judge_status(call, status, deadline)
    return _judge_answer(call, answer)


def _step(call: _Call) -> str:
    return f"gRPC connect to {call.collector.address}"


async def _export(call: _Call, channel: grpc.aio.Channel, timeout_s: float) -> bytes | None:
    """Send the encoder's bytes as they are; return the answer's message, `None` if it has none."""
    export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes | None]
    export = channel.unary_unary(f"/{_service(call.payload)}/{_METHOD}", None, None)
    metadata = call.collector.metadata
    return await export(call.payload.body, timeout=timeout_s, metadata=metadata)


def _judge_answer(call: _Call, answer: bytes | None) -> Outcome:
    if answer is None:
        return _unknown(call, "(status OK came without a message)", retryable=True)
    try:
        if call.payload.event.signal_type == "logs":
            logs = logs_service_pb2.ExportLogsServiceResponse.FromString(answer).partial_success
            rejected, message = logs.rejected_log_records, logs.error_message
        else:
            metrics = metrics_service_pb2.ExportMetricsServiceResponse.FromString(
                answer
            ).partial_success
            rejected, message = metrics.rejected_data_points, metrics.error_message
    except DecodeError:
        return _unknown(call, "(its answer cannot be decoded)", retryable=True)
    words = call.own_words(message)
    if rejected > 0:
        what, some = rejected_of(rejected, call.payload.count)
        refused = Refused(call.collector.target, f"OK, {what}", words)
        return Failure(AttemptFailure(refused, rejected=some))
    said = (f"{call.collector.target} accepted the event and said: {words}",) if words else ()
    return Success(Ack(Confirmed.ACCEPTED, status=grpc.StatusCode.OK.value[0], warnings=said))


def _judge_status(call: _Call, status: grpc.aio.AioRpcError, deadline: Deadline) -> Outcome:
    code, words = status.code(), status.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and deadline.left_s() < _CLOCKS_DIFFER_S:
        return _unknown(call, f"within {deadline}")
    if _NEVER_SENT.match(words):
        return Failure(AttemptFailure(Unreachable(_step(call), excerpt(words)), retryable=True))
    if _MADE_UP.match(words):
        return _unknown(call, f"({excerpt(words, QUOTED_CHARACTERS)})", retryable=True)
    wait_s = _retry_info_s(status)
    throttled = code is grpc.StatusCode.RESOURCE_EXHAUSTED and wait_s is not None
    stored = code in _MAY_BE_STORED
    refused = Refused(call.collector.target, code.name, call.own_words(words), stored)
    per_event = code is grpc.StatusCode.INVALID_ARGUMENT
    retryable = code in _MAY_PASS or throttled
    return Failure(AttemptFailure(refused, retryable, wait_s, per_event=per_event))


def _unknown(call: _Call, reason: str, *, retryable: bool = False) -> Outcome:
    problem = OutcomeUnknown(call.collector.target, reason, call.payload.event.time_ns)
    return Failure(AttemptFailure(problem, retryable))


def _retry_info_s(status: grpc.aio.AioRpcError) -> float | None:
    """Return the wait in seconds that `RetryInfo` asks for; spec: OTLP, "throttling"."""
    for name, value in status.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        info = RetryInfo()
        try:
            if any(detail.Unpack(info) for detail in Status.FromString(value).details):
                delay: Duration = info.retry_delay
                return max(0.0, delay.seconds + delay.nanos / 1e9)
        except DecodeError:
            pass
    return None


SINK: Final = Sink(
    OtlpGrpc,
    push,
    describe,
    side_by_side=True,
    open=open_collector,
    pieces=lambda options, _: pieces_of_requests(options.batch_size, BATCH_BYTES),
)
