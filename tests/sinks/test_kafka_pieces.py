"""Pieces of a run to Kafka: one batch of their own, a record for each event, and a verdict for each."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sonda.pipeline.scenarios.rendering import how_pieces_go, pieces
from sonda.pipeline.scenarios.report import Report
from sonda.pipeline.sinks.kafka import _split
from sonda.pipeline.stages.encode import encode
from sonda.scenarios import load_scenario, run_scenario
from tests.support.kafka_broker import (
    HANG_UP,
    INVALID_RECORD,
    OUT_OF_ORDER,
    Broker,
    Produced,
    kafka_broker,
)
from tests.unit.pipeline.scenarios.support import compiled, metric

COUNT: Final = 300


def document(brokers: str, **sink: Any) -> dict[str, Any]:
    """Return a scenario of COUNT logs, numbered."""
    return {
        "name": "run",
        "signal_type": "logs",
        "rate": 7,
        "count": COUNT,
        "pace": "max",
        "start_time": "2026-01-01T00:00:00Z",
        "log_generator": {"type": "template", "templates": ["m{tick}"]},
        "sink": {"type": "kafka", "brokers": brokers, "topic": "events", **sink},
    }


def run(broker: Broker, **sink: Any) -> Report:
    """Run it into *broker*."""
    return run_scenario(load_scenario(document(broker.address, **sink)).unwrap()).unwrap()


def test_a_record_for_each_event() -> None:
    """With its own key, value, headers and time, in the order of the events."""
    with kafka_broker() as broker:
        report = run(broker, key="k", headers={"a": "b"})
    assert report.ledger.delivered == COUNT
    records = [record for batch in broker.produced.items for record in batch.records]
    (entry,) = compiled(document("h:1")).unwrap().entries
    events = entry.events(range(COUNT))
    alone = [encode(entry.route.validated_event(event)).unwrap().payload for event in events]
    assert records == [(b"k", one.body, [("a", b"b")], one.event.time_ns // 10**6) for one in alone]
    assert len(broker.produced.items) < 10


def test_the_guilty_record_is_found() -> None:
    """A refused piece goes again record by record, and only the one that is refused is rejected."""

    def judge(batch: Produced) -> int:
        return INVALID_RECORD if any(b'"m7"' in value for value in batch.values) else 0

    with kafka_broker(script=judge) as broker:
        report = run(broker)
    assert (report.ledger.delivered, report.ledger.rejected) == (COUNT - 1, 1)
    taken = [value for one in broker.produced.items if not judge(one) for value in one.values]
    assert len(taken) == len(set(taken)) == COUNT - 1


def test_no_answer_is_unknown() -> None:
    """Of a piece without an answer nobody knows, and nothing of it is sent under another number."""

    def silent(batch: Produced) -> int | str:
        return HANG_UP if any(b'"m7"' in value for value in batch.values) else 0

    with kafka_broker(script=silent) as broker:
        report = run(broker, timeout="3s")
    ledger = report.ledger
    assert ledger.unknown > 0
    assert ledger.delivered + ledger.unknown == COUNT
    pieces_of_it = [one for one in broker.produced.items if silent(one)]
    assert len({(one.producer_id, one.sequence) for one in pieces_of_it}) == 1


def test_a_gap_before_it_is_not_its_fault() -> None:
    """Refused for what another batch has left behind it goes once more, by a producer of its own."""
    refused: list[int] = []

    def judge(batch: Produced) -> int:
        if not refused:
            refused.append(batch.producer_id)
        return OUT_OF_ORDER if batch.producer_id == refused[0] else 0

    with kafka_broker(script=judge) as broker:
        report = run(broker)
    assert report.ledger.delivered == COUNT


def test_lines_of_a_histogram_are_one_record() -> None:
    """As when its event goes alone."""
    observed = metric(
        sink={"type": "kafka", "brokers": "h:1", "topic": "t"},
        signal_type="histogram",
        rate=1,
        duration="20s",
        distribution={"type": "exponential", "rate": 10},
    )
    del observed["generator"]
    entry = compiled(observed).unwrap().entries[0]
    takes = how_pieces_go(entry)
    assert takes is not None
    (piece,) = pieces(entry, range(20), takes)
    values = [one["value"] for one in _split(piece.encoded.payload, {})]
    assert values == [
        encode(entry.route.validated_event(entry.event(tick))).unwrap().payload.body
        for tick in range(20)
    ]


@pytest.mark.parametrize("encoder", ["otlp", "remote_write"])
def test_what_is_not_lines_goes_alone(encoder: str) -> None:
    """Requests cannot be taken apart again."""
    pytest.importorskip("google.protobuf")
    sink = {"type": "kafka", "brokers": "h:1", "topic": "t"}
    entry = compiled(metric(sink=sink, encoder={"type": encoder})).unwrap().entries[0]
    assert how_pieces_go(entry) is None
