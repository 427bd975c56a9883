"""Logs in a real VictoriaLogs: by its Loki endpoint, and as JSON lines."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import sonda
from sonda.pipeline.problems import Refused
from sonda.pipeline.values.timestamps import rfc3339, rfc3339_ms
from tests.support.bodies import LOG, changed

from .ledger import Ledger
from .sending import emit_all
from .victorialogs import VictoriaLogs

MESSAGE = 'naïve "q" \\ \n\t€😀\n'
FIELDS = {"version": "1.2.2", "awkward": 'a"b]c\\d\ne€'}
NAMES = {  # which of our names is what; without them it stores the line under names of its own
    "_msg_field": "message",
    "_time_field": "timestamp",
    "_stream_fields": "labels.event",
}


def event(sink: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write the body of a log event with a label that nobody else has."""
    body = changed(LOG, labels={"event": uuid4().hex}, log__fields=FIELDS, sink=sink)
    return changed(body, log__message=MESSAGE, **changes)


def loki_sink(victorialogs: VictoriaLogs) -> dict[str, Any]:
    """Return the sink that speaks Loki's protocol to it."""
    return {"type": "loki", "url": f"{victorialogs.web.url}/insert"}


def jsonline_sink(victorialogs: VictoriaLogs, **parameters: str) -> dict[str, Any]:
    """Return the sink that sends it JSON lines."""
    query = urlencode(NAMES | parameters)
    return {"type": "http_push", "url": f"{victorialogs.web.url}/insert/jsonline?{query}"}


def test_the_loki_sink_stores_a_line(victorialogs: VictoriaLogs, landed: Ledger) -> None:
    """The line is stored whole, at its nanosecond, in the stream of its labels."""
    body = event(loki_sink(victorialogs), encoder={"type": "syslog"})
    name = body["labels"]["event"]
    receipt = sonda.emit(body).unwrap()
    assert (receipt.confirmed, receipt.status) == (sonda.Confirmed.ACCEPTED, 204)
    (found,) = victorialogs.wait_for(f'_stream:{{event="{name}"}}')
    landed.record("victorialogs loki", sent=1, found=1)
    line = sonda.encode(changed(body, timestamp=rfc3339(receipt.time_ns))).unwrap().decode()
    assert found["_msg"] == line.removesuffix("\n")
    assert found["_time"] == shown(rfc3339(receipt.time_ns))


def test_the_loki_sink_stores_json(victorialogs: VictoriaLogs, landed: Ledger) -> None:
    """A line of JSON is taken apart; a header says which of its members is the message."""
    sink = loki_sink(victorialogs) | {"headers": {"VL-Msg-Field": "message"}}
    body = event(sink)
    name = body["labels"]["event"]
    sonda.emit(body).unwrap()
    (found,) = victorialogs.wait_for(f'_stream:{{event="{name}"}}')
    landed.record("victorialogs loki", sent=1, found=1)
    assert (found["_msg"], found["severity"]) == (MESSAGE, "info")
    assert {key: found[f"fields.{key}"] for key in FIELDS} == FIELDS


def test_json_lines_are_stored(victorialogs: VictoriaLogs, landed: Ledger) -> None:
    """Message, severity, fields, labels and time come back as they went in."""
    body = event(jsonline_sink(victorialogs))
    name = body["labels"]["event"]
    receipt = sonda.emit(body).unwrap()
    assert (receipt.confirmed, receipt.status) == (sonda.Confirmed.ACCEPTED, 200)
    (found,) = victorialogs.wait_for(f'_stream:{{labels.event="{name}"}}')
    landed.record("victorialogs jsonline", sent=1, found=1)
    assert found.pop("_time") == shown(rfc3339_ms(receipt.time_ns))
    assert found.pop("_stream_id")
    assert found == {
        "_stream": f'{{labels.event="{name}"}}',
        "_msg": MESSAGE,
        "severity": "info",
        "labels.event": name,
        **{f"fields.{key}": text for key, text in FIELDS.items()},
    }


def test_many_at_once_are_all_found(victorialogs: VictoriaLogs, landed: Ledger) -> None:
    """Each of many events at once is stored, although many have the same millisecond."""
    body, count = event(jsonline_sink(victorialogs)), 300
    emit_all(changed(body, log__message=f"number {n}") for n in range(count))
    name = body["labels"]["event"]
    found = victorialogs.wait_for(f'_stream:{{labels.event="{name}"}}', count=count)
    landed.record("victorialogs jsonline", sent=count, found=len(found))
    assert sorted(each["_msg"] for each in found) == sorted(f"number {n}" for n in range(count))


def test_a_refusal_is_quoted(victorialogs: VictoriaLogs) -> None:
    """What it does not understand is a no, in its words."""
    problem = sonda.emit(event(jsonline_sink(victorialogs, debug="perhaps"))).failure()
    assert isinstance(problem, Refused)
    assert problem.status == "400 Bad Request"
    assert "cannot parse debug=" in problem.answer


def test_a_yes_is_no_more_than_the_destination_says(victorialogs: VictoriaLogs) -> None:
    """A body that is called a form gets a 200, and nothing is stored: hence the reading back."""
    form = {"content_type": "application/x-www-form-urlencoded"}
    body = event(jsonline_sink(victorialogs) | form)
    after = event(jsonline_sink(victorialogs))
    assert sonda.emit(body).unwrap().status == 200
    sonda.emit(after).unwrap()
    victorialogs.wait_for(f'_stream:{{labels.event="{after["labels"]["event"]}"}}')
    assert victorialogs.query(f'_stream:{{labels.event="{body["labels"]["event"]}"}}') == []


def shown(time: str) -> str:
    """Write a time as VictoriaLogs does: without zeros at its end."""
    seconds, _, decimals = time.removesuffix("Z").partition(".")
    return f"{seconds}.{decimals.rstrip('0')}".removesuffix(".") + "Z"
