"""Brokers that a cluster names are judged, too: a cluster may name anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from returns.result import Failure, Success

from sonda.pipeline.problems import Forbidden, Unreachable
from tests.sinks.test_destinations import METADATA, confined, never_right, no_rule, to
from tests.support.destinations import deliver
from tests.support.kafka_broker import kafka_broker


def test_an_advertised_broker_is_judged(tmp_path: Path) -> None:
    """Where a partition's leader is no address to connect to, the record does not leave: 502."""
    with kafka_broker(leader=(METADATA, 80)) as broker:
        event = to("kafka", "127.0.0.1", broker.port, timeout="5s")
        [outcome] = deliver(event, access_policy=confined(tmp_path))
        refusal = never_right(METADATA, 80, METADATA, "a cloud's metadata address").failure()
        assert isinstance(refusal, Forbidden)
        problem = Unreachable(f"Kafka connect to {METADATA}:80", str(refusal))
        assert outcome == Failure(problem)
        assert broker.produced.items == []


def test_an_advertised_broker_needs_a_rule(tmp_path: Path) -> None:
    """A rule for the broker that the client names does not open the one that this one names."""
    with kafka_broker() as other, kafka_broker(leader=("127.0.0.1", other.port)) as named:
        event = to("kafka", "127.0.0.1", named.port, timeout="5s")
        rule = f"127.0.0.1:{named.port}"
        [outcome] = deliver(event, access_policy=confined(tmp_path, rule))
        problem = outcome.failure()
        assert isinstance(problem, Unreachable)
        assert problem.attempt == f"Kafka connect to 127.0.0.1:{other.port}"
        assert problem.reason == str(no_rule("127.0.0.1", other.port).failure())
        assert other.connections.items == []
        [outcome] = deliver(event, access_policy=confined(tmp_path, rule, f"kafka={rule[:9]}"))
        assert isinstance(outcome, Success)
        assert len(other.produced.items) == 1


@pytest.mark.parametrize("order", ["first", "last"])
def test_one_refused_broker_is_enough(order: str, tmp_path: Path) -> None:
    """A list of brokers is refused for any of them, before anybody is asked."""
    with kafka_broker() as broker:
        brokers = [f"{METADATA}:9092", broker.address]
        if order == "last":
            brokers.reverse()
        event = to("kafka", "x", 1)
        event["sink"]["brokers"] = ",".join(brokers)
        refused = deliver(event, access_policy=confined(tmp_path))
        assert refused == [never_right(METADATA, 9092, METADATA, "a cloud's metadata address")]
        assert broker.connections.items == []
