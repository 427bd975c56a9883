"""Playing one row: break the destination, send events, mend it, and look at what was promised."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from random import Random
from typing import Any, Final

from tests.support.faulty import Certificates

from .client import Poster
from .destination import Destination, destination
from .faults import POISON, Certificate, Fault
from .ledger import FEWEST_EVENTS, FEWEST_OF_A_SINK, Row
from .oracle import Answer, Oracle, Outcome, Sent
from .resolver import Resolver
from .sinks import NetworkSink
from .wires import Wire

PATIENCE_S: Final = 60.0  # a kernel that has to send again waits twice as long each time
_SETTLING_S: Final = 0.1


@dataclass(frozen=True)
class Pki:
    """Certificates of a server, good and bad."""

    certificates: Certificates

    @property
    def ca_cert(self) -> str:
        """The authority that sinks are told to trust."""
        return self.certificates.path("ca.pem")

    def pair(self, certificate: Certificate) -> tuple[bytes, bytes]:
        """Give key and certificate of such a server, as PEM."""
        authority = self.certificates.authority
        yesterday = datetime.now(UTC) - timedelta(days=1)
        match certificate:
            case "expired":
                issued = authority.issue_cert(
                    "127.0.0.1", not_before=yesterday - timedelta(days=1), not_after=yesterday
                )
            case "wrong name":
                issued = authority.issue_cert("elsewhere.example.org")
            case "stranger":
                issued = self.certificates.stranger.issue_cert("127.0.0.1")
            case _:
                issued = authority.issue_cert("127.0.0.1")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        return issued.private_key_pem.bytes(), chain

    def context(self, certificate: Certificate) -> ssl.SSLContext | None:
        """Give the context of a server whose certificate is so bad, or fine."""
        match certificate:
            case "expired":
                return self.certificates.server(expired=True)
            case "wrong name":
                return self.certificates.server("elsewhere.example.org")
            case "stranger":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self.certificates.stranger.issue_cert("127.0.0.1").configure_cert(context)
                return context
            case "missing":
                return None
            case "none":
                return self.certificates.server()


@dataclass
class Play:
    """One sink, one fault, one seed."""

    sink: NetworkSink
    fault: Fault
    random: Random
    pki: Pki
    resolver: Resolver | None = None

    async def run(self, poster: Poster) -> tuple[Row, list[str]]:
        """Play it; gives the row, and every obligation that was broken."""
        wires = [way.wire(self.random) for way in self.sink.ways]
        read, healthy = wires[0].read, self.sink.healthy
        async with destination(read, self.fault.script, self.random, healthy=healthy) as there:
            await self._break(there)
            oracle = Oracle(there.truth)
            for sent, answer in await self._send(poster, there, wires, self._count()):
                oracle.note(sent, answer)
            await self._mend(there)
            afterwards = await self._send(poster, there, wires, 2 * len(wires), calm=True)
            await until(lambda: self._is_settled(oracle, afterwards))
            at_the_end = there.describe()
            self._find_evidence(oracle)
            row = oracle.row()
            await self.aclose()
            broken = oracle.broken(
                self.fault.outcomes, target=self._shown(there), loses=self.fault.loses
            )
            later = Oracle(there.truth, afterwards)
            broken += later.broken({Outcome.DELIVERED})
            broken += oracle.strangers(later.sent)
            broken += self._misjudged(oracle)
            return row, [*at_the_end, *broken] if broken else []

    async def aclose(self) -> None:
        """End what else was started."""

    @property
    def _secure(self) -> bool:
        return self.fault.certificate != "none"

    def _count(self) -> int:
        fewest = max(FEWEST_EVENTS, FEWEST_OF_A_SINK / len(self.sink.faults))
        return ceil(fewest / self.fault.rate)

    async def _break(self, there: Destination) -> None:
        if not self.fault.listens:
            return
        tls = self.pki.context(self.fault.certificate) if self._secure else None
        await there.listen(tls, small=self.fault.huge > 0)

    async def _mend(self, there: Destination) -> None:
        there.calm.set()
        if self.resolver is not None:
            self.resolver.is_over.set()
        if self.fault.loses:  # who does not read to the end must not get the next event
            await there.hang_up()
            await asyncio.sleep(_SETTLING_S)
        if not self.fault.listens:
            await there.listen()
        elif self._secure:
            await there.listen(self.pki.context("none"))

    async def _send(
        self,
        poster: Poster,
        there: Destination,
        wires: list[Wire],
        count: int,
        *,
        calm: bool = False,
    ) -> list[tuple[Sent, Answer]]:
        """Send so many events, each in a way by chance."""

        async def send() -> tuple[Sent, Answer]:
            at = self.random.randrange(len(wires))
            poisoned = not calm and self.random.random() < self.fault.poisoned
            huge = not calm and self.random.random() < self.fault.huge
            options = self._options(there, at, calm=calm)
            sent = wires[at].event(options, prefix=POISON if poisoned else "", huge=huge)
            return sent, await poster.post(sent.document)

        return await asyncio.gather(*(send() for _ in range(count)))

    def _options(self, there: Destination, at: int, *, calm: bool) -> dict[str, Any]:
        tls = {"tls": {"ca_cert": self.pki.ca_cert}} if self._secure else {}
        return {
            "type": self.sink.type,
            **self._target(there),
            "timeout": f"{PATIENCE_S:g}s" if calm else self.fault.timeout,
            **tls,
            **self.sink.ways[at].options,
        }

    def _target(self, there: Destination) -> dict[str, str]:
        address = f"{self.fault.host}:{there.port}" if self.fault.host else there.address
        return self.sink.target(address, secure=self._secure)

    def _shown(self, there: Destination) -> str:
        return next(iter(self._target(there).values()))

    def _is_settled(self, oracle: Oracle, afterwards: list[tuple[Sent, Answer]]) -> bool:
        """Tell whether all that was delivered has been read; what has no answer may take a while."""
        asked = afterwards if self.fault.loses else oracle.asked + afterwards
        return all(
            oracle.truth.accepted[sent.arrives]
            for sent, answer in asked
            if answer.outcome is Outcome.DELIVERED
        )

    def _find_evidence(self, oracle: Oracle) -> None:
        if self.resolver is not None:
            oracle.truth.fired += self.resolver.fired
        elif self.fault.evidence:
            oracle.truth.fired += sum(
                self.fault.evidence in answer.document.get("detail", "")
                for _, answer in oracle.asked
            )

    def _misjudged(self, oracle: Oracle) -> list[str]:
        """Name the events whose answer was not their own, where the destination judges each."""
        if not self.fault.poisoned:
            return []
        return [
            f"{sent.name} has a neighbour's answer: {answer.document}"
            for sent, answer in oracle.asked
            if (POISON in repr(sent.arrives)) != (answer.outcome is Outcome.REFUSED)
        ]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes soon, or else is missed by whoever looks for it next."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + PATIENCE_S
    while not condition() and loop.time() < give_up_s:  # noqa: ASYNC110  # many things can make it true
        await asyncio.sleep(0.02)
