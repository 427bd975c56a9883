"""Laws of the pure stages: they are total, and every problem has its answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from returns.result import Failure, Result, Success

from sonda.pipeline.alike_bodies import AlikeBodies
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import EncodedEvent, Log, Metric
from sonda.pipeline.problems import Invalid, Malformed, NotJson, Problem
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import _CAREFUL, _decode_plain, parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.values.timestamps import rfc3339
from sonda.statuses import http_status
from tests.property.strategies import (
    almost_bodies,
    json_like,
    json_values,
    records,
    samples,
)
from tests.support.bodies import LOG

SINKS = [
    {"type": "stdout"},
    {"type": "udp", "address": "h:1"},
    {"type": "tcp", "address": "[::1]:1", "framing": "octet_counting"},
    {"type": "loki", "url": "http://h"},
]


def ready(raw: bytes) -> Result[EncodedEvent, Problem]:
    """Run the stages that need no world."""
    validated = parse(raw).bind(lambda document: validate(document, received_ns=0))
    return validated.bind(lambda valid: preflight(valid, in_server=True)).bind(encode)


@st.composite
def pairs_alike(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return a valid body, and one like it: other values, another order, or a byte that is wrong."""
    event = draw(records() | samples())
    own: dict[str, Any] = {"signal_type": event.signal_type, "labels": dict(event.labels)}
    if isinstance(event, Log):
        own["log"] = {"severity": event.severity, "message": event.message}
        own["log"] |= {"fields": dict(event.fields)} if draw(st.booleans()) else {}
    else:
        own["metric"] = {"name": event.name, "value": event.value}
    own |= {"timestamp": rfc3339(event.time_ns)} if draw(st.booleans()) else {}
    body = own | {"encoder": {"type": "json_lines"}, "sink": draw(st.sampled_from(SINKS))}
    members = draw(st.permutations(list(body.items())))
    compact = draw(st.booleans())
    separators = (",", ":") if compact else (", ", ": ")
    first = json.dumps(body, ensure_ascii=False, separators=separators).encode()
    text = json.dumps(dict(members), ensure_ascii=draw(st.booleans()), separators=separators)
    other = bytearray(text.encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(other) - 1))
        other[at : at + draw(st.integers(0, 1))] = draw(st.sampled_from(BYTES))
    return first, bytes(other)


BYTES = [
    b"",
    b" ",
    b'"',
    b"\\",
    b"1",
    b"-",
    b"e",
    b",",
    b"}",
    b"{",
    b'"a":"",',
    b"\n",
    b"\xff",
    b"\x01",
]


@given(pairs_alike())
def test_what_is_read_fast_is_what_the_stages_make_of_it(bodies: tuple[bytes, bytes]) -> None:
    """A body like one that was taken comes to the same event and bytes, or is looked at closely."""
    first, other = bodies
    alike, pipeline = AlikeBodies(), Pipeline(in_server=True)
    alike.learn(first, pipeline.prepare(first, received_ns=1))
    fast = alike.prepare(other, Delivery(), 2)
    if fast is not None:
        assert fast.unwrap() == pipeline.prepare(other, received_ns=2).unwrap()


@given(st.binary() | json_like())
@example(b'{"signal_type":' + b"[" * 100_000)
def test_parse_is_total(raw: bytes) -> None:
    """No input whatsoever makes parse raise."""
    assert isinstance(parse(raw), (Success, Failure))


@given(
    json_like()
    | json_values().map(lambda value: json.dumps({"a": value}, separators=(",", ":")).encode())
)
@example(b'{"a":1,"a":1}')
@example(b'{ "a" : {"b":1,\t"b":2} }')
@example(b'{"a":-0}')
@example(b'{"a":-0.0}')
@example(b'{"a":' + b"9" * 400 + b"}")
@example(b'{"a": [1,-' + b"9" * 400 + b"]}")
def test_what_is_decoded_fast_is_what_the_strict_decoder_gives(raw: bytes) -> None:
    """Same values, same types, same order of names; and a doubt is no verdict."""
    fast = _decode_plain(raw)
    if fast is not None:
        assert repr(fast) == repr(_CAREFUL.decode(raw.decode()))
        json.dumps(fast, ensure_ascii=False).encode()  # no surrogate stands alone


def test_no_depth_of_nesting_raises() -> None:
    """Not even one that parsing just allows, and that validating, which needs more, does not."""
    for depth in range(800, 1000):
        raw = b'{"signal_type":%b1%b}' % (b"[" * depth, b"]" * depth)
        assert isinstance(ready(raw).failure(), (NotJson, Malformed))


def test_most_bodies_are_decoded_fast() -> None:
    """However they are spaced; what is doubtful is left to the strict decoder."""
    for separators in ((",", ":"), (", ", ": ")):
        assert _decode_plain(json.dumps(LOG, separators=separators).encode()) == LOG
    assert _decode_plain(b'{"a":1,"a":1}') is None


@given(json_like() | almost_bodies().map(lambda body: json.dumps(body).encode()))
def test_the_pure_stages_are_total(raw: bytes) -> None:
    """Whatever comes, there is a payload or a problem, and the problem says what is wrong."""
    result = ready(raw)
    if isinstance(result, Failure):
        problem = result.failure()
        assert isinstance(problem, (NotJson, Malformed, Invalid))
        assert http_status(problem) in (400, 422)
        assert str(problem)
        assert str(problem).isprintable()


@given(
    st.one_of(
        st.tuples(records(), st.sampled_from(["json_lines", "syslog"])),
        st.tuples(samples(), st.sampled_from(["json_lines", "prometheus_text", "influx_lp"])),
    ),
    st.sampled_from(SINKS),
)
def test_a_valid_body_is_its_event(pair: tuple[Log | Metric, str], sink: Any) -> None:
    """What a valid body says is what the encoder is given; only the encoder may still object."""
    event, encoder = pair
    result = ready(json.dumps(body_of(event, encoder, sink)).encode())
    if isinstance(result, Success):
        assert result.unwrap().validated.event == event
        assert result.unwrap().payload.body.endswith(b"\n")
    else:
        assert isinstance(result.failure(), Invalid)


def body_of(event: Log | Metric, encoder: str, sink: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "labels": event.labels,
        "timestamp": rfc3339(event.time_ns),
        "encoder": {"type": encoder},
        "sink": sink,
    }
    if isinstance(event, Log):
        log = {"severity": event.severity, "message": event.message, "fields": event.fields}
        return {**body, "signal_type": "logs", "log": log}
    return {**body, "signal_type": "metrics", "metric": {"name": event.name, "value": event.value}}
