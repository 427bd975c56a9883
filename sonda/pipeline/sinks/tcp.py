"""A TCP or TLS connection that events are written to, such as a syslog receiver's.

**Confirmed:** the operating system has every byte, for a connection that was alive right before
the write: handed off. TCP has no answer that could say more.
Spec: https://www.rfc-editor.org/rfc/rfc6587 (framing), https://www.rfc-editor.org/rfc/rfc5425 (TLS)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from returns.result import Failure, Result, Success

from sonda.pipeline.addresses import Address, parse_address
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Acknowledged, Confirmed, Payload, Pending
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.sinks import Sink
from sonda.pipeline.transport import Transport
from sonda.pipeline.transport.destinations import NotAllowed
from sonda.pipeline.transport.sockets import is_late, reason, words
from sonda.pipeline.transport.streams import Journey, Route, Secure, Stream
from sonda.pipeline.transport.tls import Tls
from sonda.pipeline.transport.tries import Retry, Setback, deliver_in_tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """Options of the `tcp` sink; with *tls* and octet counting it is syslog over TLS."""

    address: str
    framing: Literal["lf", "octet_counting"] = "lf"
    tls: Tls | None = None
    timeout: str = "10s"
    retry: Retry | None = None


async def push(
    payload: Payload, options: Tcp, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Get ready to write one frame; fails with `Forbidden`, or `Unreachable` for the TLS files."""
    permitted = transport.destinations.permit("tcp", parse_address(options.address))
    route = await then(permitted, partial(_route, tls=options.tls, transport=transport))
    frame = _frame(payload.body, options.framing)
    return route.map(
        lambda way: partial(
            deliver_in_tries,
            partial(_attempt, payload, options.address, frame, way, transport, deadline),
            options.retry,
            deadline,
        )
    )


def _frame(body: bytes, framing: str) -> bytes:
    if framing == "lf":
        return body
    message = body.removesuffix(b"\n")
    return b"%d %b" % (len(message), message)


async def _route(address: Address, tls: Tls | None, transport: Transport) -> Result[Route, Problem]:
    if tls is None:
        return Success(Route("tcp", address))
    name = (tls.server_name or address.host).rstrip(".")
    context = await transport.tls.load(tls)
    return context.map(lambda loaded: Route("tcp", address, Secure(loaded, name, hears_out=True)))


async def _attempt(
    payload: Payload,
    target: str,
    frame: bytes,
    route: Route,
    transport: Transport,
    deadline: Deadline,
) -> Result[Acknowledged, Setback]:
    """Write the frame to a live connection, kept or fresh."""
    journey = Journey()
    try:
        async with asyncio.timeout_at(deadline.at_s):
            write = partial(_write, frame)
            await transport.streams.use(route, write, journey, peer_may_talk=True)
    except NotAllowed as exc:
        return Failure(Setback(exc.problem, reached=journey.reached))
    except OSError as exc:
        step = "write" if journey.connected else "connect"
        problem: Problem = Unreachable(f"TCP {step} to {target}", reason(exc, deadline))
        if journey.left:
            silence = f"within {deadline}" if is_late(exc) else f"({words(exc)})"
            problem = OutcomeUnknown(target, silence, payload.event.time_ns)
        return Failure(Setback(problem, may_pass=True, reached=journey.reached))
    return Success(Acknowledged(Confirmed.HANDED_OFF))


async def _write(frame: bytes, stream: Stream) -> None:
    await stream.send(frame)
    await stream.see_off()


def _ends_with_lf(options: Tcp) -> bool:
    return options.framing == "lf"


SINK: Final = Sink(Tcp, push, ends_with_lf=_ends_with_lf)
