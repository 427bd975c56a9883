"""A preview beside what its destination really gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sonda
from sonda.pipeline.wire_preview import Preview, WirePreview
from tests.support.destinations import TIMESTAMP, HttpDestination, Posted, deliver, log_event


def metric_event(sink: Mapping[str, Any], encoder: str) -> dict[str, Any]:
    """Write the body of a metric event of the year 2026."""
    return {
        "signal_type": "metrics",
        "timestamp": TIMESTAMP,
        "labels": {"job": "ci"},
        "metric": {"name": "deploys", "value": 1},
        "encoder": {"type": encoder},
        "sink": sink,
    }


def event_of(encoder: str, sink: Mapping[str, Any]) -> dict[str, Any]:
    """Write an event that *encoder* takes."""
    if encoder in ("json_lines", "syslog", "otlp"):
        return log_event(sink, encoder=encoder, labels={"env": "prod"})
    return metric_event(sink, encoder)


def previewed(event: Mapping[str, Any]) -> Preview:
    """Preview an event, and hold the preview to what every one of them has."""
    preview = sonda.preview(event).unwrap()
    document = json.loads(json.dumps(preview.document()))
    body = preview.departure.body
    assert document["bytes"] == len(body)
    assert document.get("text", "").encode() or bytes.fromhex(document["hex"]) == body
    assert (document["sink"], document["timestamp"]) == (event["sink"]["type"], TIMESTAMP)
    return preview


def previewed_then_sent(event: Mapping[str, Any]) -> WirePreview:
    """Preview an event, and then deliver it."""
    departure = previewed(event).departure
    [result] = deliver(event)
    result.unwrap()
    return departure


def assert_posted(
    departure: WirePreview, destination: HttpDestination, secrets: Mapping[str, str] | None = None
) -> None:
    """Compare with the one request that came in; *secrets* are the headers that are masked."""
    [posted] = destination.posts.items
    shown = {name.lower(): value for name, value in departure.headers}
    masked = {name: value for name, value in shown.items() if value == "***"}
    assert masked.keys() == (secrets or {}).keys()
    assert departure.facts["request"] == f"POST {posted.path} HTTP/1.1"
    assert Posted(posted.path, {**shown, **(secrets or {})}, departure.body) == posted
