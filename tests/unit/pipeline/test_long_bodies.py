"""Long bodies leave the event loop to others in between."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from returns.result import Result, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.long_bodies import LONG_BYTES, Document, Validated, prepare_in_turns
from sonda.pipeline.model import EncodedEvent, Log
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Problem
from tests.support.bodies import LOG

BODY = json.dumps(LOG).encode()
LONG = BODY + b" " * LONG_BYTES


class Recording(Pipeline):
    """A pipeline that notes in which turn of the loop each stage is worked."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.validated: list[int] = []
        self.prepared: list[int] = []
        self.done: list[bool] = []

    def validate(self, document: Document, received_ns: int, caller: Caller) -> Validated:
        self.validated.append(self.turn)
        return super().validate(document, received_ns, caller)

    def prepare(self, *args: Any, **kwargs: Any) -> Result[EncodedEvent, Problem]:
        self.prepared.append(self.turn)
        self.done.append(kwargs.get("done") is not None)
        return super().prepare(*args, **kwargs)

    async def count(self) -> None:
        """Count the turns of the loop."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    async def prepare_all(self, raw: bytes, times: int) -> list[Result[EncodedEvent, Problem]]:
        """Prepare a body several times at once."""
        counting = asyncio.create_task(self.count())
        try:
            preparing = (
                prepare_in_turns(self, raw, received_ns=1, caller=ANYBODY) for _ in range(times)
            )
            return await asyncio.gather(*preparing)
        finally:
            counting.cancel()


def test_a_short_body_is_prepared_at_once() -> None:
    """No turn of the loop passes between its stages."""
    pipeline = Recording()
    (prepared,) = asyncio.run(pipeline.prepare_all(BODY, 1))
    assert isinstance(prepared, Success)
    assert not pipeline.validated  # by itself
    assert pipeline.done == [False]


def test_the_stages_of_long_bodies_take_turns() -> None:
    """Each is parsed, validated and encoded in turns of its own, and no two are worked in one turn."""
    pipeline = Recording()
    prepared = asyncio.run(pipeline.prepare_all(LONG, 4))
    assert prepared == [pipeline.prepare(BODY, received_ns=1)] * 4
    assert pipeline.done == [True] * 4 + [False]
    worked = sorted((*pipeline.validated[:4], *pipeline.prepared[:4]))
    assert worked[0] > 0
    assert len({*worked}) == 8
    in_order = zip(pipeline.validated[:4], pipeline.prepared[:4], strict=True)
    assert all(validated < encoded for validated, encoded in in_order)
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(pipeline.prepared[:4]))


def test_names_are_sorted_before_the_encoder_sees_them() -> None:
    """To sort them in turns of their own is cheaper than within the encoder; the bytes are the same."""
    names = [f"l{number:04}" for number in reversed(range(3000))]
    texts = dict.fromkeys(names, '"ä\\')
    log = {**LOG["log"], "fields": {**texts, "same": "x"}}
    raw = json.dumps({**LOG, "labels": {**texts, "other": "y"}, "log": log}).encode()
    pipeline = Recording()
    (prepared,) = asyncio.run(pipeline.prepare_all(raw, 1))
    event = prepared.unwrap().validated.event
    assert isinstance(event, Log)
    assert list(event.labels) == [*reversed(names), "other"]
    assert list(event.fields) == [*reversed(names), "same"]
    assert prepared == pipeline.prepare(raw, received_ns=1)
    (validated, *_), (encoded, *_) = pipeline.validated, pipeline.prepared
    assert encoded - validated >= 4
