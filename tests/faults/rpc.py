"""A collector that misbehaves as a script says, by gRPC's own server, and how its rows are played."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from .destination import Destination, Peer
from .faults import (
    CONNECTION_FAULTS,
    DELIVERED,
    NAME_FAULTS,
    NEVER_SENT,
    REFUSED,
    UNKNOWN,
    Certificate,
    Fault,
    accept_and_hang,
    fault,
    reset_at_once,
    unreachable,
)
from .play import Play
from .sinks import RETRY, NetworkSink, Way
from .wires import Logs

CODES: Final = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
OK: Final = b""
_WORDS: Final = "destination says no"

Call: TypeAlias = Callable[["Collector", list[Any], Any], Awaitable[bytes]]
"""What becomes of a call: give the answer's bytes, or abort."""


@dataclass
class Collector(grpc.GenericRpcHandler):
    """Takes calls, and keeps the truth in the destination that it stands in for."""

    there: Destination
    call: Call

    def service(self, handler_call_details: Any) -> Any:
        """Take any method, and its bytes as they are."""
        return grpc.unary_unary_rpc_method_handler(self.export)

    async def export(self, body: bytes, context: Any) -> bytes:
        """Note what has come, and do as the script says."""
        events = self.there.read(body)
        truth = self.there.truth
        truth.glimpse(body)
        if self.there.calm.is_set():
            truth.accepted.update(events)
            return OK
        truth.unanswered.update(events)
        return await self.call(self, events, context)

    def judge(self, events: list[Any], *, accepted: bool) -> None:
        """Note a yes or a no."""
        truth = self.there.truth
        truth.unanswered.subtract(events)
        (truth.accepted if accepted else truth.refused).update(events)

    def fire(self) -> None:
        """Count."""
        self.there.truth.fired += 1


async def abort(here: Collector, events: list[Any], context: Any) -> bytes:
    here.fire()
    here.judge(events, accepted=False)
    await context.abort(here.there.random.choice(CODES), _WORDS)
    raise AssertionError("abort raises")


async def unavailable_half_the_time(here: Collector, events: list[Any], context: Any) -> bytes:
    if here.there.random.random() < 0.5:
        here.judge(events, accepted=True)
        return OK
    here.fire()
    here.judge(events, accepted=False)
    await context.abort(grpc.StatusCode.UNAVAILABLE, _WORDS)
    raise AssertionError("abort raises")


def answer(rejected: int, message: str) -> bytes:
    said = logs_service_pb2.ExportLogsServiceResponse(
        partial_success=logs_service_pb2.ExportLogsPartialSuccess(
            rejected_log_records=rejected, error_message=message
        )
    )
    return said.SerializeToString()


async def reject(here: Collector, events: list[Any], _context: Any) -> bytes:
    here.fire()
    here.judge(events, accepted=False)
    return answer(len(events), _WORDS)


async def accept_and_talk(here: Collector, events: list[Any], _context: Any) -> bytes:
    here.fire()
    here.judge(events, accepted=True)
    return answer(0, "mind the gap")


async def nonsense(here: Collector, _events: list[Any], _context: Any) -> bytes:
    here.fire()
    return b"\xff\xff\xff nonsense"


async def hang(here: Collector, _events: list[Any], _context: Any) -> bytes:
    here.fire()
    await here.there.calm.wait()
    return OK


async def accept(here: Collector, events: list[Any], _context: Any) -> bytes:
    here.judge(events, accepted=True)
    return OK


CALLS: Final[tuple[tuple[Fault, Call], ...]] = (
    (fault("every gRPC code", unreachable, REFUSED), abort),
    (
        fault("every other time UNAVAILABLE", unreachable, DELIVERED, REFUSED, rate=0.5),
        unavailable_half_the_time,
    ),
    (fault("partial_success rejects", unreachable, REFUSED), reject),
    (fault("partial_success has a message", unreachable, DELIVERED), accept_and_talk),
    (fault("an answer of nonsense", unreachable, UNKNOWN), nonsense),
    (fault("takes the call and hangs", unreachable, UNKNOWN, NEVER_SENT, timeout="1s"), hang),
)
OF_CALLS: Final = {one.name: call for one, call in CALLS}


async def reset_within_the_preface(peer: Peer) -> None:
    await peer.read_some(peer.there.random.randint(1, 24))
    peer.fire()
    peer.reset()


async def end_within_the_preface(peer: Peer) -> None:
    await peer.read_some(10)
    peer.fire()
    peer.end()


OTLP_GRPC: Final = NetworkSink(
    "otlp_grpc",
    (Way({}, Logs), Way({"headers": {"x-team": "a"}}, Logs), Way({"retry": RETRY}, Logs)),
    (
        *CONNECTION_FAULTS,
        *(replace(one, script=unreachable) for one in NAME_FAULTS),
        fault("reset at once", reset_at_once, NEVER_SENT, UNKNOWN),
        fault("reset within the preface", reset_within_the_preface, NEVER_SENT, UNKNOWN),
        fault("half-closes at once", end_within_the_preface, NEVER_SENT, UNKNOWN),
        fault("accepts and hangs", accept_and_hang, NEVER_SENT, UNKNOWN, timeout="1s"),
        *(one for one, _ in CALLS),
    ),
    accept_and_hang,
)


@dataclass
class RpcPlay(Play):
    """A row of gRPC: the destination's calls are taken by gRPC's own server."""

    server: Any = None

    async def _break(self, there: Destination) -> None:
        call = OF_CALLS.get(self.fault.name)
        if call is None and self.fault.script is not unreachable:
            await super()._break(there)
        elif self.fault.listens:
            await self._serve(
                there, call or accept, self.fault.certificate if self._secure else None
            )

    async def _mend(self, there: Destination) -> None:
        there.calm.set()
        if self.resolver is not None:
            self.resolver.is_over.set()
        await there.stop_listening()
        if self.server is not None and not self._secure:
            return
        if self.server is not None:
            await self.server.stop(None)
        await self._serve(there, hang, "none" if self._secure else None)

    async def _serve(self, there: Destination, call: Call, certificate: Certificate | None) -> None:
        self.server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        self.server.add_generic_rpc_handlers((Collector(there, call),))
        where = f"127.0.0.1:{there.port}"
        if certificate is None:
            bound = self.server.add_insecure_port(where)
        else:
            credentials = grpc.ssl_server_credentials([self.pki.pair(certificate)])
            bound = self.server.add_secure_port(where, credentials)
        assert bound == there.port
        await self.server.start()

    async def aclose(self) -> None:
        """End the server."""
        if self.server is not None:
            await self.server.stop(None)

    def _target(self, there: Destination) -> dict[str, str]:
        scheme = "https" if self._secure else "http"
        host = self.fault.host or "127.0.0.1"
        return {"endpoint": f"{scheme}://{host}:{there.port}"}

    def _options(self, there: Destination, at: int, *, calm: bool) -> dict[str, Any]:
        return {**super()._options(there, at, calm=calm), "signal_type": "logs"}
