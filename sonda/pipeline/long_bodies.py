"""Long bodies are prepared in turns with all else that the event loop has to do.

A body of a megabyte may hold a hundred thousand labels: to parse it takes some tens of milliseconds,
and so does all that follows. Between the two others have their turn, and only one such body is worked
in each turn of the loop. A thread would be no help: it holds the interpreter just as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import msgspec
from returns.result import Result, Success

from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import EncodedEvent, Log, ValidatedEvent
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Problem
from sonda.pipeline.stages.parse import collector_paused, parse

LONG_BYTES: Final = 32 * 1024
"""A shorter body takes too little time to be worth a turn."""

Document = Result[dict[str, Any], Problem]
Validated = Result[ValidatedEvent, Problem]
_WRITER: Final = msgspec.json.Encoder(order="deterministic")
_READER: Final = msgspec.json.Decoder(dict[str, str])
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
            if isinstance(validated, Success):
                validated = Success(await _with_sorted_names(validated.unwrap()))
            prepared = prepare(done=(document, validated))
            del document, validated
        await asyncio.sleep(0)
    return prepared


async def _with_sorted_names(validated: ValidatedEvent) -> ValidatedEvent:
    """Return the same event with its labels and fields sorted by name, in turns of their own.

    Every encoder sorts them, which takes a quarter as long where they are in order already.
    """
    event = validated.event
    changes = {"labels": await _sorted_by_name(event.labels)}
    if isinstance(event, Log):
        changes["fields"] = await _sorted_by_name(event.fields)
    return msgspec.structs.replace(validated, event=msgspec.structs.replace(event, **changes))


async def _sorted_by_name(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Return a mapping as it is read from JSON, where neighbours lie side by side in memory."""
    written = _WRITER.encode(texts)
    await asyncio.sleep(0)
    read = _READER.decode(written)
    await asyncio.sleep(0)
    return read
