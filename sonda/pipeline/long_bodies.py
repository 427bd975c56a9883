"""Long bodies are prepared in turns with all else that the event loop has to do.

A body of a megabyte may hold a hundred thousand labels: to parse it takes some tens of milliseconds,
and so does all that follows. Between the two others have their turn, and only one such body is worked
in each turn of the loop. A thread would be no help: it holds the interpreter just as long.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from returns.result import Result

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import EncodedEvent, ValidatedEvent
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Problem
from sonda.pipeline.stages.parse import collector_paused, parse

LONG_BYTES: Final = 32 * 1024
"""A shorter body takes too little time to be worth a turn."""

Document = Result[dict[str, Any], Problem]
Validated = Result[ValidatedEvent, Problem]
_LOCKS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


class PreparingPipeline(Protocol):
    """The stages that need no I/O; see `Pipeline`."""

    def validate(self, document: Document, received_ns: int, caller: Caller) -> Validated:
        """Return the event of a parsed body."""
        ...

    def prepare(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        received_ns: int | None = None,
        caller: Caller = ANYBODY,
        done: tuple[Document, Validated] | None = None,
    ) -> Result[EncodedEvent, Problem]:
        """Return the encoded event of a body, the first stages of which may be done; no I/O."""
        ...


async def prepare_in_turns(
    pipeline: PreparingPipeline,
    raw: bytes,
    delivery: Delivery | None = None,
    *,
    received_ns: int,
    caller: Caller,
) -> Result[EncodedEvent, Problem]:
    """Return what the pipeline's `prepare` does; the stages of a long body have a turn each."""
    prepare = partial(pipeline.prepare, raw, delivery, received_ns=received_ns, caller=caller)
    if len(raw) < LONG_BYTES:
        return prepare()
    lock = _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock:
        with collector_paused(raw):  # until the document is gone
            document = parse(raw)
            await asyncio.sleep(0)
            validated = pipeline.validate(document, received_ns, caller)
            await asyncio.sleep(0)
            prepared = prepare(done=(document, validated))
            del document, validated
        await asyncio.sleep(0)
    return prepared
