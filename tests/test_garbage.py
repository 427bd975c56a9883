"""No circles: an event's memory is free once it is answered, and waits for no collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sonda.pipeline.deliver import Pipeline
from sonda.server.app import assemble
from sonda.server.settings import Settings
from tests.server.test_http import JSON, Pipe
from tests.support.bodies import LOG, raw
from tests.support.destinations import http_destination, log_event, outcome, run, tcp_destination
from tests.support.kafka_broker import kafka_broker


async def garbage_of(event: Callable[[], Awaitable[object]]) -> set[str]:
    """Name the classes of ours, and of what we use, that an event leaves to the collector."""
    await event()  # the first one loads and connects
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            await event()
        await asyncio.sleep(0.01)  # what goes on behind an answer ends
        gc.collect()
        classes = {type(left) for left in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    ours = ("sonda", "httptools", "httpx", "falcon", "returns")
    return {each.__qualname__ for each in classes if each.__module__.startswith(ours)}


@contextmanager
def sink_of(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    with http_destination() as http, tcp_destination() as tcp, kafka_broker() as kafka:
        yield {
            "file": {"type": "file", "path": str(folder / "events.log")},
            "tcp": {"type": "tcp", "address": tcp.address},
            "loki": {"type": "loki", "url": http.url},
            "http_push": {"type": "http_push", "url": http.url},
            "kafka": {"type": "kafka", "brokers": kafka.address, "topic": "events"},
        }[kind]


@pytest.mark.parametrize("kind", ["file", "tcp", "loki", "http_push", "kafka"])
def test_a_delivery_leaves_no_garbage(kind: str, tmp_path: Path) -> None:
    """Whatever a sink keeps of an event while it waits leads back to itself no more afterwards."""
    with sink_of(kind, tmp_path) as sink:

        async def work(pipeline: Pipeline) -> set[str]:
            return await garbage_of(lambda: outcome(pipeline, log_event(sink)))

        assert run(work) == set()


class Exchange:
    """A request as uvicorn has it: what receives its body knows its scope."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/events",
            "query_string": b"",
            "headers": [JSON],
        }
        self.status = 0

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": raw(LOG), "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)


def test_a_request_leaves_no_garbage() -> None:
    """The shell lets go of a request with its answer."""
    app = assemble(Settings(), Pipe())

    async def ask() -> None:
        exchange = Exchange()
        await app(exchange.scope, exchange.receive, exchange.send)
        assert exchange.status == 200

    assert asyncio.run(garbage_of(ask)) == set()
