"""For scripts and notebooks: one call for one event, and one for many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from returns.result import Result

from sonda.pipeline.deliver import Pipeline, now_ns
from sonda.pipeline.events import AnyEvent, to_json
from sonda.pipeline.model import Preview, Receipt
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Problem
from sonda.pipeline.stages.encode import encode as encode_order
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.preview import preview as preview_parcel
from sonda.pipeline.stages.validate import validate

_ANY_SINK: Final = {"type": "http_push", "url": "http://localhost"}  # takes what any encoder makes
CONCURRENCY: Final = 32

A = TypeVar("A")
B = TypeVar("B")


async def emit_async(event: AnyEvent) -> Result[Receipt, Problem]:
    """Deliver one event and wait for its destination's yes, as `Pipeline.emit` does.

    Opens its connection anew; for many events keep a `Pipeline`.
    """
    async with Pipeline() as pipeline:
        return await pipeline.emit(event)


def emit(event: AnyEvent) -> Result[Receipt, Problem]:
    """Deliver one event from code that is not async, and wait for its destination's yes.

    Works where an event loop is running, too, as in a notebook, but blocks it meanwhile.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(emit_async(event))
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        return elsewhere.submit(asyncio.run, emit_async(event)).result()


async def emit_many(
    events: Iterable[AnyEvent], *, concurrency: int = CONCURRENCY
) -> list[Result[Receipt, Problem]]:
    """Deliver events over connections that are kept, and give each one's result, in their order.

    At most *concurrency* are on their way at a time. They set out in order, but only with a
    *concurrency* of 1 is each confirmed before the next one leaves.
    """
    async with Pipeline() as pipeline:
        return await each(events, pipeline.emit, concurrency=concurrency)


async def each(
    items: Iterable[A], step: Callable[[A], Awaitable[B]], *, concurrency: int
) -> list[B]:
    """Do *step* for each item, at most *concurrency* at a time; the results are in order.

    *items* is drawn from only as fast as they are done with.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    waiting = enumerate(items)
    done: dict[int, B] = {}

    async def draw() -> None:
        for place, item in waiting:
            done[place] = await step(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(draw())
    return [done[place] for place in range(len(done))]


def preview(event: AnyEvent) -> Result[Preview, Problem]:
    """Say what `emit` would send, byte by byte; nothing is opened, and nothing is sent.

    Fails with `NotJson`, `Malformed` or `Invalid`, and with `Unreachable` for what is too long.
    """
    return (
        to_json(event)
        .bind(parse)
        .bind(partial(validate, received_ns=now_ns()))
        .bind(partial(preflight, in_server=False))
        .bind(encode_order)
        .bind(partial(preview_parcel, transport=Network()))
    )


def encode(event: AnyEvent) -> Result[bytes, Problem]:
    """Give the bytes that the event's encoder makes; the event needs no sink, and nothing is sent.

    Fails with `NotJson`, `Malformed` or `Invalid`.
    """
    return (
        to_json(event)
        .bind(parse)
        .map(lambda document: {"sink": _ANY_SINK, **document})
        .bind(partial(validate, received_ns=now_ns()))
        .bind(encode_order)
        .map(lambda parcel: parcel.payload.body)
    )
