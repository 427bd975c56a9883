"""The dry run of Kafka: what is shown is the record that arrives."""

from __future__ import annotations

from typing import Any

import pytest
from returns.result import Failure

import sonda
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.problems import Forbidden
from tests.sinks.test_preview import confined_preview
from tests.support.destinations import deliver, log_event
from tests.support.kafka_broker import kafka_broker
from tests.support.previews import previewed_then_sent


@pytest.mark.parametrize("options", [{}, {"key": "ü", "headers": {"source": "ci", "token": "t0k"}}])
def test_kafka(options: dict[str, Any]) -> None:
    """Topic, key, headers, timestamp and value of the record; who is asking is masked."""
    with kafka_broker() as broker:
        sink = {"type": "kafka", "brokers": broker.address, "topic": "events", **options}
        departure = previewed_then_sent(log_event(sink))
        [produced] = broker.produced.items
    [(key, value, headers, timestamp_ms)] = produced.records
    assert value == departure.body
    assert departure.facts["timestamp_ms"] == timestamp_ms
    assert departure.facts["topic"] == "events"
    assert departure.facts.get("key") == (None if key is None else key.decode())
    sent = tuple((name, content.decode()) for name, content in headers)
    assert departure.headers == tuple((n, "***" if n == "token" else v) for n, v in sent)


def test_kafka_says_how_it_would_log_in() -> None:
    """Mechanism and user, and whose certificate is asked for; never the password."""
    login = {"mechanism": "SCRAM-SHA-512", "username": "sonda", "password": "s3cr3t-of-mine"}
    sink = {"type": "kafka", "brokers": "a:1,b:2", "topic": "t", "sasl": login, "tls": {}}
    facts = sonda.preview(log_event(sink)).unwrap().departure.facts
    assert facts["sasl"] == "SCRAM-SHA-512 as sonda"
    assert facts["tls"] == "each broker's own name"


def test_a_broker_that_the_operator_does_not_allow(tmp_path: Any) -> None:
    """One of them is enough."""
    event = log_event({"type": "kafka", "brokers": "a:1,169.254.1.1:2", "topic": "t"})
    access_policy = AccessPolicy(tmp_path, tmp_path)
    shown = confined_preview(event, access_policy)
    assert isinstance(shown, Failure)
    assert isinstance(shown.failure(), Forbidden)
    assert [shown] == deliver(event, access_policy=access_policy)
