"""One datagram per event.

**Confirmed:** the datagram was handed to the network whole: handed off. UDP has no answer.
Spec: https://www.rfc-editor.org/rfc/rfc5426 (syslog over UDP)
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline, TimeLimit
from sonda.pipeline.interruption import explain
from sonda.pipeline.model import Ack, Confirmed, Payload, Pending
from sonda.pipeline.net import Network
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.sockets import reason, words
from sonda.pipeline.problems import Problem, Unreachable
from sonda.pipeline.sinks import Sink
from sonda.pipeline.unknown_or_unsent import cut_off
from sonda.pipeline.values.addresses import Address, parse_address
from sonda.pipeline.wire_preview import WirePreview

LARGEST_DATAGRAM_BYTES: Final = 65507  # what IPv4's length field leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp:
    """Options of the `udp` sink."""

    address: str
    timeout: str = "10s"


def open_address(options: Udp, _network: Network) -> Address:
    """Return where the datagrams of all events with these options go."""
    return parse_address(options.address)


async def push(
    payload: Payload, target: Address, network: Network, deadline: Deadline
) -> Result[Pending, Problem]:
    """Get ready to send one datagram; fails with `Forbidden`, or `Unreachable` if it is too long."""
    ready = _datagram(payload, target, network)
    return ready.map(lambda datagram: partial(_send, datagram, target, network, deadline))


def _datagram(payload: Payload, target: Address, network: Network) -> Result[bytes, Problem]:
    """Return the encoder's bytes; a syslog message goes without its line feed."""
    permitted = network.resolver.permit("udp", target)
    datagram = payload.body.removesuffix(b"\n") if _is_syslog(payload) else payload.body
    if len(datagram) > LARGEST_DATAGRAM_BYTES:
        reason = f"{len(datagram)} bytes do not fit a datagram of {LARGEST_DATAGRAM_BYTES}"
        too_long = Unreachable(f"UDP send to {target}", reason, is_final=True)
        return permitted.bind(lambda _: Failure(too_long))
    return permitted.map(lambda _: datagram)


def _is_syslog(payload: Payload) -> bool:
    return payload.encoder == "syslog"


def describe(payload: Payload, options: Udp, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be sent; fail as `push` does."""
    without = ", without its line feed" if _is_syslog(payload) else ""
    framing = f"one datagram{without}"
    ready = _datagram(payload, parse_address(options.address), network)
    return ready.map(partial(WirePreview, options.address, framing))


async def _send(
    datagram: bytes, target: Address, network: Network, deadline: Deadline
) -> Result[Ack, Problem]:
    where = f"UDP send to {target}"
    try:
        with TimeLimit(network.pool.timeouts, deadline.at_s):
            addresses = await network.resolver.find("udp", target, socket.SOCK_DGRAM)
    except asyncio.CancelledError as exc:
        explain(exc, cut_off(where, where, has_left=False, time_ns=0))
        raise
    except DestinationNotAllowed as exc:
        return Failure(exc.problem)
    except OSError as exc:
        return Failure(Unreachable(where, reason(exc, deadline)))
    problem: Problem = Unreachable(where, "the name has no address")
    for family, _, protocol, _, address in addresses:
        try:
            _send_once(datagram, family, protocol, address)
        except OSError as exc:
            problem = Unreachable(where, words(exc), is_final=True)
        else:
            return Success(Ack(Confirmed.HANDED_OFF))
    return Failure(problem)


def _send_once(datagram: bytes, family: int, protocol: int, address: tuple[Any, ...]) -> None:
    """Send from a socket of its own.

    A kept, connected socket would report the refusal of one datagram when the next is sent, and
    not send that one.
    """
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
        sock.setblocking(False)
        sock.connect(address)
        sock.send(datagram)
        refused = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if refused:  # known at once on this machine
            raise OSError(refused, os.strerror(refused))


SINK: Final = Sink(Udp, push, describe, open=open_address)
