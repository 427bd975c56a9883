"""A queue for each kind of events: only those of one kind share a batch."""

from __future__ import annotations

from typing import Any, cast

from sonda.pipeline.model import Payload
from sonda.pipeline.net.batching import Queue
from sonda.pipeline.net.batching_by_kind import Queues
from tests.support.events import record, sample


class Made:
    """Stands for a queue, and knows for which payload it was made."""

    def __init__(self, payload: Payload) -> None:
        self.first = payload
        self.is_busy = False


def payload(event: Any, encoder: str = "json_lines") -> Payload:
    return Payload(event, encoder, "", b"x")


def queues() -> Queues:
    return Queues(
        lambda one: (one.encoder, one.event.signal_type), lambda one: cast("Queue", Made(one))
    )


def test_a_queue_is_made_once_for_each_kind() -> None:
    """By the kind's value; the first of its events is what it is made from."""
    found = queues()
    log, other = payload(record("a")), payload(record("b"))
    metric = payload(sample())
    assert found.find(log) is found.find(other)
    assert cast("Made", found.find(other)).first is log
    assert found.find(metric) is not found.find(log)
    assert found.find(payload(record("a"), "syslog")) is not found.find(log)


def test_all_are_busy_where_one_is() -> None:
    """What is kept for a destination must not be dropped while any of its events is under way."""
    found = queues()
    assert not found.is_busy
    cast("Made", found.find(payload(record("a")))).is_busy = True
    found.find(payload(sample()))
    assert found.is_busy
