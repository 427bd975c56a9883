"""Real destinations, killed with SIGKILL and started again while events are sent to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest
import uvloop

from tests.backends.conftest import installed
from tests.serving import Serving

from .client import client
from .ledger import Ledger, Row
from .oracle import Answer, Oracle, Outcome, Sent, Truth
from .play import until
from .products import KINDS, PLACES, Kind, Product

KILLS: Final = 2
SENDERS: Final = 40
PAUSE_S: Final = 0.05  # of each sender, so that the products' slow starts do not make millions
BETWEEN_KILLS: Final = 400  # events


async def send_while_it_is_killed(
    server: Serving, product: Product, kind: Kind, random: Random
) -> list[tuple[Sent, Answer]]:
    """Send all the time, kill and start again, and go on until it serves once more."""
    wire = kind.wire(random)
    asked: list[tuple[Sent, Answer]] = []
    over = False

    def delivered() -> int:
        return Counter(answer.outcome for _, answer in asked)[Outcome.DELIVERED]

    def has_delivered(enough: int) -> bool:
        return delivered() >= enough

    async with client(server.port) as posting:

        async def send() -> None:
            while not over:
                sent = wire.event({**product.sink, "timeout": "5s"})
                answer = await posting.post(sent.document)
                asked.append((sent, answer))
                await asyncio.sleep(PAUSE_S)

        senders = [asyncio.create_task(send()) for _ in range(SENDERS)]
        for _ in range(KILLS):
            enough = delivered() + BETWEEN_KILLS
            await until(partial(has_delivered, enough))
            await asyncio.to_thread(product.kill)
            await asyncio.sleep(random.uniform(0.1, 0.5))
            await asyncio.to_thread(product.start)
        enough = delivered() + BETWEEN_KILLS
        await until(partial(has_delivered, enough))
        over = True
        await asyncio.gather(*senders)
    assert delivered() >= enough
    return asked


@pytest.mark.backend
@pytest.mark.parametrize(("kind", "place"), list(zip(KINDS, PLACES, strict=True)))
def test_every_yes_outlives_a_kill(
    kind: Kind,
    place: tuple[str, str],
    server: Serving,
    tmp_path: Path,
    random: Random,
    ledger: Ledger,
) -> None:
    """What got a 200 is found afterwards, what was never sent is not, and nothing else is there."""
    with kind.run(installed(kind.backend), tmp_path) as product:
        asked = uvloop.run(send_while_it_is_killed(server, product, kind, random))
        yes = {sent.arrives for sent, answer in asked if answer.outcome is Outcome.DELIVERED}
        found: set[Hashable] = set()

        async def look() -> None:
            def is_all_there() -> bool:
                found.update(product.found())
                return yes <= found

            await until(is_all_there)

        uvloop.run(look())
    outcomes = Counter(answer.outcome for _, answer in asked)
    ledger.record(
        place,
        Row(
            fired=KILLS,
            events=len(asked),
            delivered=len(yes),
            rejected=outcomes[Outcome.NEVER_SENT] + outcomes[Outcome.REFUSED],
            unknown=outcomes[Outcome.UNKNOWN],
            found=sum(sent.arrives in found for sent, _ in asked),
        ),
    )
    assert yes - found == set()
    never = {s.arrives for s, answer in asked if answer.outcome is Outcome.NEVER_SENT}
    assert never & found == set()
    assert Oracle(Truth(accepted=Counter(found)), asked).strangers(set()) == []
