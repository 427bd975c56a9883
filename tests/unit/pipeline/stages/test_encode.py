"""Stage 4: what a format cannot write, and what the framing of a sink cannot carry."""

from __future__ import annotations

from typing import Any

import pytest
from returns.result import Failure, Success

from sonda.pipeline.model import EncodedEvent
from sonda.pipeline.problems import Invalid, ValidationIssue
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate
from tests.support.bodies import LOG, METRIC, changed, raw

TWO_LINES = changed(LOG, encoder={"type": "syslog"}, log__message="a\nb")


def encoded(body: dict[str, Any]) -> Any:
    """Return what the stage makes of a body."""
    return parse(raw(body)).bind(lambda document: validate(document, received_ns=1)).bind(encode)


@pytest.mark.parametrize(
    ("body", "content_type", "begin"),
    [
        (LOG, "application/x-ndjson", b'{"timestamp":'),
        (METRIC, "text/plain; version=0.0.4; charset=utf-8", b"deploy_events_total{"),
        (changed(LOG, encoder={"type": "syslog"}), "text/plain; charset=utf-8", b"<14>1 "),
    ],
)
def test_a_payload(body: dict[str, Any], content_type: str, begin: bytes) -> None:
    """The bytes, what they are, and the event that they came of."""
    found: EncodedEvent = encoded(body).unwrap()
    assert found.payload.content_type == content_type
    assert found.payload.body.startswith(begin)
    assert found.payload.body.endswith(b"\n")
    assert found.payload.event is found.validated.event


@pytest.mark.parametrize(
    "sink",
    [
        {"type": "tcp", "address": "h:1", "framing": "octet_counting"},
        {"type": "udp", "address": "h:1"},
        {"type": "http_push", "url": "http://h"},
    ],
)
def test_a_line_feed_inside(sink: dict[str, Any]) -> None:
    """It is no end where a count, a datagram or a request says how long an event is."""
    assert isinstance(encoded(changed(TWO_LINES, sink=sink)), Success)


@pytest.mark.parametrize(
    "sink",
    [
        {"type": "tcp", "address": "h:1"},
        {"type": "file", "path": "/x"},
        {"type": "stdout"},
    ],
)
def test_a_line_feed_that_would_end_the_event(sink: dict[str, Any]) -> None:
    """The remedy is named, and nothing is sent."""
    assert encoded(changed(TWO_LINES, sink=sink)) == Failure(
        Invalid(
            (
                ValidationIssue(
                    "sink",
                    "a line feed ends an event here, and this syslog event holds one inside; "
                    "a tcp sink with framing octet_counting can carry it",
                ),
            )
        )
    )


def test_a_format_that_cannot_write_it() -> None:
    """The encoder's own reason comes through."""
    body = changed(METRIC, encoder={"type": "influx_lp"}, labels={"time": "x"})
    problem = encoded(body).failure()
    assert isinstance(problem, Invalid)
    assert [issue.path for issue in problem.issues] == ["labels.time"]
