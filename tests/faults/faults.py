"""What can happen to a delivery: how a fault is played, and which outcomes it can have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from .destination import YES, Peer, Push, Script, saying_yes
from .oracle import Outcome

DELIVERED, REFUSED, NEVER_SENT, UNKNOWN = Outcome

Strike: TypeAlias = Callable[[Peer, Push], Awaitable[bool]]
"""What happens to a request that was read; says whether the connection goes on."""

Certificate: TypeAlias = Literal["none", "missing", "expired", "wrong name", "stranger"]
_TEXT: Final = b"destination says no"


@dataclass(frozen=True)
class Fault:
    """One row of the ledger for each sink that it applies to.

    *rate* is the share of requests that it strikes, *huge* that of events which fit no buffer.
    """

    name: str
    outcomes: frozenset[Outcome]
    script: Script
    rate: float = 1.0
    timeout: str = "20s"
    huge: float = 0.0
    certificate: Certificate = "none"
    """Of a server that is asked for TLS; one that has it missing speaks no TLS."""
    listens: bool = True
    poisoned: float = 0.0
    """The share of events that the destination refuses wherever they are."""
    evidence: str = ""
    """What a detail says once the fault has fired, where the destination cannot count."""
    host: str = ""
    """A name for the destination, which a slow or an ignorant resolver looks up."""
    loses: bool = False
    """What the operating system has taken may be lost, for the peer does not read to the end."""


def fault(name: str, script: Script, *outcomes: Outcome, **more: object) -> Fault:
    """Write a row down."""
    return Fault(name, frozenset(outcomes), script, **more)  # type: ignore[arg-type]  # its fields


def striking(strike: Strike, rate: float = 1.0) -> Script:
    """Have a share of the requests struck, and say yes to the others."""

    async def script(peer: Peer) -> None:
        while (push := await peer.push()) is not None:
            if peer.there.calm.is_set() or peer.there.random.random() >= rate:
                await peer.accept(push)
                continue
            peer.fire()
            if not await strike(peer, push):
                return

    return script


# --- connections ---------------------------------------------------------------------------------


async def reset_at_once(peer: Peer) -> None:
    peer.fire()
    peer.reset()


async def reset_within_the_request(peer: Peer) -> None:
    await peer.read_some(peer.there.random.randint(1, 200))
    peer.fire()
    peer.reset()


async def hang_within_the_request(peer: Peer) -> None:
    await peer.read_some(peer.there.random.randint(1, 200))
    peer.fire()
    await peer.hang()


async def accept_and_hang(peer: Peer) -> None:
    peer.fire()
    await peer.hang()
    await peer.read_some(1 << 30)  # what had come meanwhile


async def end_at_once(peer: Peer) -> None:
    """Half-close before anything is asked, and read on."""
    peer.fire()
    peer.end()
    await peer.read_some(1 << 30)


async def unreachable(_peer: Peer) -> None:
    raise AssertionError("nobody gets here")


# --- answers -------------------------------------------------------------------------------------


async def reset_before_the_answer(peer: Peer, _push: Push) -> bool:
    peer.reset()
    return False


async def reset_within_the_answer(peer: Peer, _push: Push) -> bool:
    await peer.send(YES[: peer.there.random.randrange(1, len(YES))])
    await asyncio.sleep(0.002)
    peer.reset()
    return False


async def half_close_instead_of_an_answer(peer: Peer, _push: Push) -> bool:
    peer.end()
    await peer.read_some(1 << 20)
    return False


async def half_close_after_the_answer(peer: Peer, push: Push) -> bool:
    await peer.accept(push)
    peer.end()
    await peer.read_some(1 << 20)
    return False


async def close_soon_after_the_answer(peer: Peer, push: Push) -> bool:
    await peer.accept(push)
    await asyncio.sleep(peer.there.random.choice([0.0, 0.0005, 0.002, 0.01]))
    return peer.there.calm.is_set()


async def reset_soon_after_the_answer(peer: Peer, push: Push) -> bool:
    await peer.accept(push)
    await asyncio.sleep(peer.there.random.choice([0.005, 0.02]))
    if not peer.there.calm.is_set():
        peer.reset()
        return False
    return True


async def an_answer_nobody_asked_for(peer: Peer, push: Push) -> bool:
    """Answer twice at once: the second answer must not become the next request's."""
    await peer.accept(push, YES + YES)
    await peer.read_some(1 << 20)
    peer.reset()
    return False


async def drip(peer: Peer, push: Push) -> bool:
    peer.there.truth.unanswered.subtract(push.events)
    peer.there.truth.accepted.update(push.events)
    await peer.drip(b"HTTP/1.1 204\r\n\r\n")
    return True


async def drip_too_slowly(peer: Peer, _push: Push) -> bool:
    await peer.drip(b"HTTP/1.1 204 \r\nA: b\r\n")
    return False


TRUNCATED: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 10\r\n\r\nhalf",
)
MALFORMED: Final = (
    b"\x00\x01\x02\x03 no HTTP at all\r\n\r\n",
    b"HTTP/1.1 20x OK\r\n\r\n",
    b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"220 mail.example.org ESMTP\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
)


def saying_one_of(answers: tuple[bytes, ...]) -> Strike:
    """Say something that is no answer, and hang up."""

    async def strike(peer: Peer, _push: Push) -> bool:
        await peer.send(peer.there.random.choice(answers))
        peer.end()
        await peer.read_some(1 << 20)
        return False

    return strike


async def oversized_head(peer: Peer, _push: Push) -> bool:
    await peer.send(b"HTTP/1.1 204 No Content\r\n" + b"A: %b\r\n" % (b"a" * 1000) * 80)
    return False


async def endless_body(peer: Peer, push: Push) -> bool:
    await peer.accept(push, b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        await peer.send(b"on and on " * 10_000)
    return False


async def endless_unasked_body(peer: Peer, _push: Push) -> bool:
    """Say yes with a body that goes on and on, where what it says counts."""
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        await peer.send(b"on and on " * 10_000)
    return False


async def interim_answers(peer: Peer, push: Push) -> bool:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    await peer.send(interim[: len(interim) - 1])
    await peer.accept(push, b"\n" + YES)
    return True


async def only_interim_answers(peer: Peer, _push: Push) -> bool:
    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 3)
    peer.end()
    return False


def refusing(*statuses: int, more: bytes = b"") -> Strike:
    """Answer with one of these statuses, and go on."""

    async def strike(peer: Peer, push: Push) -> bool:
        status = peer.there.random.choice(statuses)
        body = b"" if status in (204, 304) else _TEXT
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        await peer.refuse(push, b"HTTP/1.1 %d No\r\n%b%b\r\n%b" % (status, more, length, body))
        return True

    return strike


def taking(*statuses: int) -> Strike:
    """Say yes with one of these statuses."""

    async def strike(peer: Peer, push: Push) -> bool:
        status = peer.there.random.choice(statuses)
        length = b"" if status == 204 else b"Content-Length: 0\r\n"
        await peer.accept(push, b"HTTP/1.1 %d Yes\r\n%b\r\n" % (status, length))
        return True

    return strike


async def reset_or_refuse(peer: Peer, push: Push) -> bool:
    """Leave one try without an answer and refuse another: together they are unknown."""
    if peer.there.random.random() < 0.5:
        return await reset_before_the_answer(peer, push)
    return await refusing(500, 502, 503)(peer, push)


POISON: Final = "poison "


async def refusing_the_poisoned(peer: Peer) -> None:
    """Refuse every request that has a poisoned event in it, and keep none of it."""
    while (push := await peer.push()) is not None:
        if POISON in repr(push.events):
            peer.fire()
            status = peer.there.random.choice([400, 422, 500, 503])
            head = b"HTTP/1.1 %d Poison\r\nContent-Length: %d\r\n\r\n" % (status, len(_TEXT))
            await peer.refuse(push, head + _TEXT)
        else:
            await peer.accept(push)


async def rejecting_the_poisoned(peer: Peer) -> None:
    """Reject the poisoned records of a request inside a 200, by their number alone, as OTLP does.

    Of a request with others in it, too, none is kept: whoever sends it cannot tell which were.
    """
    while (push := await peer.push()) is not None:
        poisoned = sum(POISON in repr(event) for event in push.events)
        if not poisoned:
            await peer.accept(push)
            continue
        peer.fire()
        body = b'{"partialSuccess":{"rejectedLogRecords":"%d","errorMessage":"poison"}}' % poisoned
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        await peer.refuse(push, head % len(body) + body)


async def another_kind_of_answer(peer: Peer, _push: Push) -> bool:
    """Answer as a captive portal does."""
    body = b"<html>Please sign in</html>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    await peer.send(head % len(body) + body)
    return True


CONNECTION_FAULTS: Final = (
    fault(
        "connection refused",
        unreachable,
        NEVER_SENT,
        listens=False,
        evidence="Connection refused",
    ),
    *(
        fault(
            name,
            unreachable,
            NEVER_SENT,
            certificate=certificate,
            evidence="certificate verification failed: " + reason,
        )
        for name, certificate, reason in (
            ("expired certificate", "expired", "certificate has expired"),
            ("certificate of another name", "wrong name", "IP address mismatch"),
            ("certificate of a stranger", "stranger", "unable to get local issuer certificate"),
        )
    ),
    fault(
        "hangs in the handshake", accept_and_hang, NEVER_SENT, certificate="missing", timeout="1s"
    ),
)

NOWHERE: Final = "nowhere.example.org"
SLOW: Final = "slow.example.org"
HANGING: Final = "hanging.example.org"
NAME_FAULTS: Final = (
    fault(
        "the name does not resolve",
        unreachable,
        NEVER_SENT,
        host=NOWHERE,
        evidence="Name or service not known",
    ),
    fault("the name resolves slowly", saying_yes, DELIVERED, host=SLOW),
    fault("the name resolves too late", unreachable, NEVER_SENT, host=HANGING, timeout="400ms"),
)

HTTP_FAULTS: Final = (
    *CONNECTION_FAULTS,
    *NAME_FAULTS,
    fault("reset at once", reset_at_once, NEVER_SENT, UNKNOWN),
    fault("reset within the request", reset_within_the_request, UNKNOWN),
    fault("hangs within the request", hang_within_the_request, UNKNOWN, NEVER_SENT, timeout="1s"),
    fault("accepts and hangs", accept_and_hang, UNKNOWN, NEVER_SENT, timeout="1s"),
    fault("half-closes at once", end_at_once, NEVER_SENT, UNKNOWN),
    fault("reset before the answer", striking(reset_before_the_answer), UNKNOWN),
    fault("reset within the answer", striking(reset_within_the_answer), UNKNOWN),
    fault("half-close for an answer", striking(half_close_instead_of_an_answer), UNKNOWN),
    fault("half-close after the answer", striking(half_close_after_the_answer), DELIVERED, UNKNOWN),
    fault("keep-alive dies idle", striking(close_soon_after_the_answer), DELIVERED, UNKNOWN),
    fault("keep-alive is reset idle", striking(reset_soon_after_the_answer), DELIVERED, UNKNOWN),
    fault("an answer nobody asked for", striking(an_answer_nobody_asked_for), DELIVERED, UNKNOWN),
    fault("a byte every 50 ms", striking(drip), DELIVERED, timeout="60s"),
    fault(
        "too slow, byte by byte", striking(drip_too_slowly), UNKNOWN, NEVER_SENT, timeout="500ms"
    ),
    fault("truncated answers", striking(saying_one_of(TRUNCATED)), UNKNOWN),
    fault("malformed answers", striking(saying_one_of(MALFORMED)), UNKNOWN),
    fault("oversized head", striking(oversized_head), UNKNOWN),
    fault("endless body", striking(endless_body), DELIVERED),
    fault("1xx, then a yes", striking(interim_answers), DELIVERED),
    fault("1xx, and no more", striking(only_interim_answers), UNKNOWN),
    fault(
        "redirects",
        striking(refusing(301, 302, 303, 307, 308, more=b"Location: /elsewhere\r\n")),
        REFUSED,
    ),
    fault("other 3xx", striking(refusing(300, 304, 305, 306, 399)), REFUSED),
    fault("4xx", striking(refusing(*range(400, 500))), REFUSED),
    fault("5xx", striking(refusing(*range(500, 600))), REFUSED),
    fault("every other time 503", striking(refusing(503), 0.5), DELIVERED, REFUSED),
    fault("every other time a reset", striking(reset_before_the_answer, 0.5), DELIVERED, UNKNOWN),
    fault("now a reset, now a 5xx", striking(reset_or_refuse), REFUSED, UNKNOWN),
    fault("some events are refused", refusing_the_poisoned, DELIVERED, REFUSED, poisoned=0.1),
)

OTLP_FAULTS: Final = (
    *(one for one in HTTP_FAULTS if one.name != "endless body"),
    fault("endless body", striking(endless_unasked_body), UNKNOWN),
    fault("other 2xx", striking(taking(*range(200, 300))), DELIVERED),
    fault("a page of HTML", striking(another_kind_of_answer), UNKNOWN),
    fault("some records are rejected", rejecting_the_poisoned, DELIVERED, REFUSED, poisoned=0.1),
)


# --- TCP -----------------------------------------------------------------------------------------


async def reading(peer: Peer) -> None:
    """Read all frames to the end, whichever way they are framed; that is all a peer can do."""
    truth = peer.there.truth
    with contextlib.suppress(asyncio.IncompleteReadError):
        while first := await peer.reader.read(1):
            if first.isdigit():
                count = first + await peer.reader.readuntil(b" ")
                frame = await read_glimpsing(peer, int(count))
            else:
                frame = first + await line_glimpsing(peer, first)
            truth.accepted.update(peer.there.read(frame))


async def read_glimpsing(peer: Peer, size_bytes: int) -> bytes:
    try:
        return await peer.reader.readexactly(size_bytes)
    except asyncio.IncompleteReadError as exc:
        peer.there.truth.glimpse(exc.partial)
        raise


async def line_glimpsing(peer: Peer, first: bytes) -> bytes:
    try:
        return await peer.reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as exc:
        peer.there.truth.glimpse(first + exc.partial)
        raise


async def reading_half_closed(peer: Peer) -> None:
    peer.fire()
    peer.end()
    await reading(peer)


async def reading_and_half_closing_idle(peer: Peer) -> None:
    """Say goodbye once nothing has come for a while, but read what is on its way."""

    async def say_goodbye() -> None:
        await asyncio.sleep(peer.there.random.choice([0.001, 0.01, 0.05]))
        peer.fire()
        peer.end()

    saying = asyncio.create_task(say_goodbye())
    await reading(peer)
    saying.cancel()


async def reading_and_talking(peer: Peer) -> None:
    peer.fire()

    async def talk() -> None:
        with contextlib.suppress(OSError):
            while True:
                await peer.send(b"220 what do you want?\r\n" * 50)
                await asyncio.sleep(0.005)

    talking = asyncio.create_task(talk())
    await reading(peer)
    talking.cancel()
    await asyncio.gather(talking, return_exceptions=True)


async def reading_slowly_at_first(peer: Peer) -> None:
    peer.fire()
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can
    await asyncio.sleep(peer.there.random.uniform(0.1, 0.4))
    peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await reading(peer)


async def reading_some_then_reset(peer: Peer) -> None:
    await peer.read_some(peer.there.random.randint(1, 3000))
    peer.fire()
    peer.reset()


async def reading_late(peer: Peer) -> None:
    peer.fire()
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await peer.hang()
    peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await reading(peer)


SOME: Final = (DELIVERED, NEVER_SENT, UNKNOWN)
TCP_FAULTS: Final = (
    *CONNECTION_FAULTS,
    *(replace(one, script=reading) if one.script is saying_yes else one for one in NAME_FAULTS),
    fault("reset at once", reset_at_once, *SOME, loses=True, huge=0.03),
    fault("reset after some bytes", reading_some_then_reset, *SOME, loses=True, huge=0.03),
    fault("accepts and hangs", reading_late, *SOME, huge=0.03, timeout="1s"),
    fault("reads late", reading_slowly_at_first, DELIVERED, UNKNOWN),
    fault("half-closed, but reads", reading_half_closed, DELIVERED, UNKNOWN),
    fault("half-closes idle", reading_and_half_closing_idle, DELIVERED, UNKNOWN),
    fault("talks back", reading_and_talking, DELIVERED),
)
