"""How events leave the command line, and what is known of each when it is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from msgspec import Struct, field

from sonda.cli.addressing import Addressed
from sonda.cli.interruption import run_until_interrupted
from sonda.cli.outcomes import (
    Exit,
    Outcome,
    answered,
    delivered,
    failed,
    previewed,
    redacted,
)
from sonda.library import deliver, each, preview
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.events import to_json
from sonda.pipeline.result import fold
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.compact_json import compact_text
from sonda.pipeline.wire_preview import Preview

if TYPE_CHECKING:
    from sonda.pipeline.net.proxies import Proxies

EVENTS_A_REQUEST: Final = 1000
BYTES_A_REQUEST: Final = 4 * 1024 * 1024


class Senders(NamedTuple):
    """How one event is sent, and how many are in one go where that is possible."""

    one: Callable[[Addressed], Awaitable[Outcome]]
    many: Callable[[Sequence[Addressed]], Awaitable[Sequence[Outcome]]] | None = None


SendersContext: TypeAlias = AbstractAsyncContextManager[Senders]


@asynccontextmanager
async def local(proxies: Proxies | None = None) -> AsyncIterator[Senders]:
    """Deliver in this process, through *proxies* where a sink speaks HTTP."""
    async with Pipeline(proxies=proxies) as pipeline:

        async def send(addressed: Addressed) -> Outcome:
            result = await deliver(pipeline, addressed.event, timeout=addressed.timeout)
            return fold(
                result,
                partial(delivered, target=addressed.target),
                partial(failed, said=addressed.words, find=addressed.find),
            )

        yield Senders(send)


@asynccontextmanager
async def dry_run() -> AsyncIterator[Senders]:
    """Send nothing, and return what would be sent from this process."""

    async def send(addressed: Addressed) -> Outcome:
        return fold(
            preview(addressed.event).map(Preview.answer),
            partial(previewed, target=addressed.target),
            partial(failed, said=addressed.words, find=addressed.find),
        )

    yield Senders(send)


class Emission(Struct):
    """Events on their way, and what has become of them so far."""

    addressed: Sequence[Addressed]
    outcomes: dict[int, Outcome] = {}
    begun: set[int] = field(default_factory=set)

    async def run(
        self, context: SendersContext, concurrency: int, done: Callable[[int], object]
    ) -> None:
        """Send every event; *done* is called after each."""
        async with context as senders:
            if senders.many is not None:
                for places in _pieces(self.addressed):
                    self.begun.update(places)
                    some = [self.addressed[place] for place in places]
                    self._ended(places, await senders.many(some))
                    done(len(places))
                return

            async def one(place: int) -> None:
                self.begun.add(place)
                self._ended((place,), (await senders.one(self.addressed[place]),))
                done(1)

            await each(range(len(self.addressed)), one, concurrency=concurrency)

    def _ended(self, places: Iterable[int], outcomes: Iterable[Outcome]) -> None:
        for place, outcome in zip(places, outcomes, strict=True):
            self.outcomes[place] = redacted(outcome, self.addressed[place].secrets)

    def give_up(self) -> None:
        """Record for each event without an outcome what is known after an interruption."""
        for place, addressed in enumerate(self.addressed):
            if place in self.outcomes:
                continue
            if place in self.begun:
                instant = addressed.event.get("timestamp")
                detail = f"interrupted; the event (timestamp {instant}) may or may not have been delivered"
                self.outcomes[place] = answered(504, detail)
            else:
                self.outcomes[place] = answered(503, "interrupted before it was sent")


def _pieces(addressed: Sequence[Addressed]) -> Iterator[range]:
    """Yield the places of the events of each request, in their order."""
    first = size = 0
    for place, one in enumerate(addressed):
        size_of_one = (
            len(compact_text(one.event).encode(errors="backslashreplace")) + 1
        )  # its line feed
        if place - first == EVENTS_A_REQUEST or (
            place > first and size + size_of_one > BYTES_A_REQUEST
        ):
            yield range(first, place)
            first, size = place, 0
        size += size_of_one
    yield range(first, len(addressed))


def send_all(
    addressed: Sequence[Addressed],
    context: SendersContext,
    *,
    concurrency: int = 1,
    done: Callable[[int], object] = int,
    interrupted: Callable[[], object] = bool,
) -> list[Outcome]:
    """Send events, at most *concurrency* at a time; return their outcomes in order.

    Ctrl-C, SIGTERM or SIGHUP ends it early, and *interrupted* is called: what had not been sent is
    rejected, what was on its way unknown.
    """
    emission = Emission(addressed)
    ended = False
    with suppress(KeyboardInterrupt):  # of a second signal
        ended = run_until_interrupted(emission.run(context, concurrency, done))
    if not ended:
        interrupted()
    emission.give_up()
    return [emission.outcomes[place] for place in range(len(addressed))]


def examine(addressed: Addressed) -> Outcome:
    """Do all that comes before the sending; what is wrong by then is the event's fault."""
    checked = (
        to_json(addressed.event)
        .bind(parse)
        .bind(partial(validate, received_ns=0))
        .bind(encode)
        .map(lambda _: Outcome(Exit.DELIVERED, {"valid": True}, "valid"))
    )
    return redacted(
        fold(checked, lambda outcome: outcome, partial(failed, find=addressed.find)),
        addressed.secrets,
    )
