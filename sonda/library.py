"""For scripts and notebooks: one call, one event."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from returns.result import Result

from sonda.pipeline.deliver import Pipeline, now_ns
from sonda.pipeline.events import AnyEvent, to_json
from sonda.pipeline.model import Receipt
from sonda.pipeline.problems import Problem
from sonda.pipeline.stages.encode import encode as encode_order
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate

_ANY_SINK: Final = {"type": "http_push", "url": "http://localhost"}  # takes what any encoder makes


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
