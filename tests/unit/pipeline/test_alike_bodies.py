"""Bodies that are read fast come to what they would have come to alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs
from returns.result import Result, Success

from sonda.pipeline.alike_bodies import AlikeBodies
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.long_bodies import LONG_BYTES
from sonda.pipeline.model import EncodedEvent, NamedDestination, ValidatedEvent
from sonda.pipeline.problems import Problem
from tests.support.bodies import LOG, METRIC, changed, raw

LOKI = {"type": "loki", "url": "http://loki"}
TCP = {"type": "tcp", "address": "h:1"}
SYSLOG = {"type": "syslog"}
TIMED = changed(LOG, sink=LOKI) | {"timestamp": "2026-11-23T08:00:00Z"}
TEXT = b'{"signal_type":"logs","labels":{},"log":{"severity":"info","message":"%b"},%b'
REST = b'"encoder":{"type":"json_lines"},"sink":{"type":"loki","url":"http://loki"}}'
RECEIVED_NS = 1_795_420_800_000_000_000

Outcome = tuple[Result[EncodedEvent, Problem], Delivery]


def prepared_alone(pipeline: Pipeline, body: bytes) -> Outcome:
    delivery = Delivery()
    return pipeline.prepare(body, delivery, received_ns=RECEIVED_NS), delivery


def prepared_in_turn(pipeline: Pipeline, bodies: list[bytes]) -> list[tuple[Outcome, bool]]:
    """Prepare bodies as those of one request; tell of each whether it was read fast."""
    alike = AlikeBodies()
    outcomes = []
    for body in bodies:
        delivery = Delivery()
        fast = alike.prepare(body, delivery, RECEIVED_NS)
        if fast is None:
            assert delivery.prepared_ns == 0
            assert delivery.validated is None
        prepared = fast or pipeline.prepare(body, delivery, received_ns=RECEIVED_NS)
        if fast is None:
            alike.learn(body, prepared)
        outcomes.append(((prepared, delivery), fast is not None))
    return outcomes


def facts(outcome: Outcome) -> tuple[object, ...]:
    prepared, delivery = outcome
    is_encoded = bool(delivery.encoded_ns), bool(delivery.prepared_ns)
    known = delivery.validated, delivery.time_ns, delivery.given_ns, is_encoded
    return (prepared.unwrap() if isinstance(prepared, Success) else prepared.failure()), known


def spaced(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (raw(changed(LOG, sink=LOKI)), raw(changed(LOG, sink=LOKI, log__message="Grüße\n\t\\"))),
        (raw(changed(LOG, sink=LOKI)), raw(dict(reversed(changed(LOG, sink=LOKI).items())))),
        (spaced(changed(LOG, sink=LOKI)), spaced(changed(LOG, sink=LOKI, log__message=" a "))),
        (raw(TIMED), raw(TIMED | {"timestamp": "2026-11-23T09:00:00.123456789+01:00"})),
        (raw(TIMED), raw(changed(LOG, sink=LOKI))),
        (raw(METRIC), raw(changed(METRIC, metric__value=-0.25))),
        (raw(METRIC), raw(changed(METRIC, metric__value=12345678901234567890123))),
        (raw(changed(LOG, log__severity="warning")), raw(changed(LOG, log__severity="warning"))),
        (raw(LOG), b" " + raw(LOG) + b"\r"),
        (
            raw(changed(LOG, encoder=SYSLOG, sink=TCP)),
            raw(changed(LOG, encoder=SYSLOG, sink=TCP, log__message="b")),
        ),
    ],
)
def test_what_differs_in_its_event_alone_is_read_fast(first: bytes, body: bytes) -> None:
    """It is what the stages make of it."""
    pipeline = Pipeline(in_server=True)
    _, (outcome, is_fast) = prepared_in_turn(pipeline, [first, body])
    assert is_fast
    assert facts(outcome) == facts(prepared_alone(pipeline, body))


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (raw(LOG), raw(changed(LOG, log__severity="INFO"))),
        (raw(LOG), raw(changed(LOG, log__severity=1))),
        (raw(LOG), raw(changed(LOG, log__count=1))),
        (raw(LOG), raw(changed(LOG, count=5))),
        (raw(LOG), raw(changed(LOG, labels={"a-b": "c"}))),
        (raw(LOG), raw(changed(LOG, labels={"new": "c"}))),
        (raw(LOG), raw(changed(LOG, labels={"env": 1}))),
        (raw(LOG), raw(changed(LOG, timestamp="yesterday"))),
        (raw(LOG), raw(changed(LOG, timestamp=None))),
        (raw(LOG), raw(LOG | {"metric": {"name": "m", "value": 1}})),
        (raw(LOG), raw({**METRIC, "signal_type": "logs"})),
        (raw(LOG), raw(changed(LOG, sink={"type": "loki", "url": "loki"}))),
        (raw(LOG), raw(changed(LOG, destination="prod"))),
        (raw(LOG), raw(LOG)[:-1]),
        (raw(LOG), raw(LOG) + b"}"),
        (raw(LOG), b"\xef\xbb\xbf" + raw(LOG)),
        (raw(LOG), b"[" * 10_000),
        (raw(METRIC), raw(changed(METRIC, metric__name="1bad"))),
        (raw(METRIC), raw(changed(METRIC, metric__name="other"))),
        (raw(METRIC), raw(changed(METRIC, metric__value="1"))),
        (raw(METRIC), raw(changed(METRIC, metric__value=True))),
        (raw(METRIC), raw(changed(METRIC, metric__value=1)).replace(b": 1}", b": 1e999}")),
        (raw(METRIC), raw(changed(METRIC, metric__value=1)).replace(b": 1}", b": NaN}")),
        (
            raw(METRIC),
            raw(changed(METRIC, metric__value=1)).replace(b": 1}", b": " + b"9" * 400 + b"}"),
        ),
        (raw(METRIC), raw(changed(METRIC, labels={"__name__": "m"}))),
        (
            raw(changed(LOG, labels={"__name__": "m"})),
            raw(changed(METRIC, labels={"__name__": "m"})),
        ),
        (TEXT % (b"a", REST), TEXT % (b"a", b'"labels":{},' + REST)),
        (TEXT % (b"a", REST), TEXT % (b"a", b'"labels" : {}, ' + REST)),
        (TEXT % (b"a", REST), TEXT % (b"\\u0041", REST)),
        (TEXT % (b"a", REST), TEXT % (b"\\ud800", REST)),
        (TEXT % (b"a", REST), TEXT % (b"\xff", REST)),
        (TEXT % (b"a", REST), TEXT % (b"\x01", REST)),
        (
            raw(changed(LOG, encoder=SYSLOG, sink=TCP)),
            raw(changed(LOG, encoder=SYSLOG, sink=TCP, log__message="a\nb")),
        ),
    ],
)
def test_what_is_unusual_is_looked_at_closely(first: bytes, body: bytes) -> None:
    """Nothing of it is taken for granted: the stages judge it, as if it had come alone."""
    pipeline = Pipeline(in_server=True)
    _, (outcome, is_fast) = prepared_in_turn(pipeline, [first, body])
    assert not is_fast
    assert facts(outcome) == facts(prepared_alone(pipeline, body))


def test_what_was_refused_is_no_example() -> None:
    """Neither are bodies that are read back, nor long ones."""
    pipeline = Pipeline()
    bodies = [
        changed(LOG, sink={"type": "loki", "url": "loki"}),
        changed(LOG, sink=LOKI, verify={"timeout": "1s"}),
        changed(LOG, sink=LOKI, log__message="x" * LONG_BYTES),
    ]
    for body in bodies:
        outcomes = prepared_in_turn(pipeline, [raw(body)] * 2)
        assert [is_fast for _, is_fast in outcomes] == [False, False]


def test_an_empty_label_is_advised_of() -> None:
    """Advisories depend on whether a label has a value."""
    pipeline = Pipeline(in_server=True)
    bodies = [raw(changed(LOG, sink=LOKI, labels=labels)) for labels in ({"a": "b"}, {"a": ""})]
    outcomes = prepared_in_turn(pipeline, [*bodies, *bodies])
    assert [is_fast for _, is_fast in outcomes] == [False, False, True, True]
    warned = [delivery.validated.warnings for (_, delivery), _ in outcomes if delivery.validated]
    assert [len(warnings) for warnings in warned] == [0, 1, 0, 1]


def test_labels_of_the_operator_are_merged() -> None:
    """A body's own label wins, and is then looked at closely."""
    made = Pipeline().prepare(raw(changed(LOG, sink=LOKI))).unwrap().validated
    known = NamedDestination(made.encoder, made.sink, {"team": "a"}, name="prod")
    pipeline = Pipeline(in_server=True, directory=lambda: {"prod": known})
    named = {key: value for key, value in LOG.items() if key not in ("encoder", "sink")}
    bodies = [
        raw(changed(named, destination="prod", labels=labels))
        for labels in ({"env": "x"}, {"env": "y"}, {"team": ""}, {"team": ""}, {})
    ]
    outcomes = prepared_in_turn(pipeline, bodies)
    assert [is_fast for _, is_fast in outcomes] == [False, True, False, False, False]
    for (outcome, _), body in zip(outcomes, bodies, strict=True):
        assert facts(outcome) == facts(prepared_alone(pipeline, body))


def test_all_that_a_body_shares_is_handed_on() -> None:
    """A new field of a validated event has to be thought of here."""
    names = {field.name for field in structs.fields(ValidatedEvent)}
    assert names == {"event", "encoder", "sink", "warnings", "verify", "destination"}
