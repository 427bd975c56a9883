"""How events share a push of Loki's, and how a push is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from sonda.pipeline.model import Log, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.pieces import Format
from sonda.pipeline.sinks.loki import SINK, Loki, _compose, describe
from tests.support.events import record

URL: Final = "http://h.example"


def body_of(*events: tuple[Log, bytes]) -> Any:
    """Return the push that these events leave in, composed as by the queue."""
    return json.loads(
        _compose([Payload(event, "json_lines", "x", written) for event, written in events])
    )


def log(labels: Mapping[str, str], time_ns: int, text: bytes = b"x\n") -> tuple[Log, bytes]:
    return record(labels=labels, time_ns=time_ns), text


def test_a_push_has_a_stream_for_each_label_set() -> None:
    """In the order of their first events; neither the order of labels nor of others matters."""
    found = body_of(
        log({"a": "1", "b": "2"}, 1),
        log({"c": "3"}, 2),
        log({"b": "2", "a": "1"}, 3),
        log({"c": "3"}, 4),
        log({}, 5),
    )
    assert found == {
        "streams": [
            {"stream": {"a": "1", "b": "2"}, "values": [["1", "x"], ["3", "x"]]},
            {"stream": {"c": "3"}, "values": [["2", "x"], ["4", "x"]]},
            {"stream": {}, "values": [["5", "x"]]},
        ]
    }


@pytest.mark.parametrize(
    ("written", "line"), [(b"x\n", "x"), (b"x\n\n", "x\n"), (b"x", "x"), (b"\n", ""), (b"", "")]
)
def test_a_line_loses_its_last_line_feed_alone(written: bytes, line: str) -> None:
    """Loki's line is a text of its own."""
    assert body_of(log({"a": "1"}, 7, written))["streams"][0]["values"] == [["7", line]]


def test_a_piece_goes_as_it_is() -> None:
    """It was written by `join`, and is alone in its push."""
    piece = Payload(record(), "json_lines", "x", b'{"streams":[]}', count=2)
    assert _compose([piece]) == b'{"streams":[]}'


def test_only_lines_share_a_piece() -> None:
    """Of another format a piece cannot be taken apart into entries."""
    assert SINK.pieces is not None
    options = Loki(url=URL, batch_size=7, max_streams_per_push=3)
    found = SINK.pieces(options, Format("json_lines", lines=True))
    assert found is not None
    assert (found.events, found.streams) == (7, 3)
    assert SINK.pieces(options, Format("otlp", lines=False)) is None


@pytest.mark.parametrize(
    ("url", "request_line"),
    [
        ("http://h.example", "POST /loki/api/v1/push HTTP/1.1"),
        ("http://h.example/base/", "POST /base/loki/api/v1/push HTTP/1.1"),
        ("http://h.example/loki/api/v1/push", "POST /loki/api/v1/push HTTP/1.1"),
    ],
)
def test_the_path_is_appended_unless_it_is_there(url: str, request_line: str) -> None:
    """So that what people copy from elsewhere works."""
    shown = describe(Payload(record(), "x", "x", b"x"), Loki(url=url), Network()).unwrap()
    assert shown.facts["request"] == request_line


def test_the_users_headers_win() -> None:
    """A proxy may want another content type; credentials are masked."""
    options = Loki(url=URL, headers={"content-type": "application/x", "X-Scope-OrgID": "t"})
    shown = describe(Payload(record(), "x", "x", b"x"), options, Network()).unwrap()
    named = {name.lower(): value for name, value in shown.headers}
    assert named["x-scope-orgid"] == "t"
    assert "application/x" not in repr(options)
