"""A body of a megabyte is refused in bounded memory and with a bounded text, whatever it holds."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, Final, TypeAlias

import pytest
from returns.result import Result, Success

from sonda.pipeline.model import EncodedEvent
from sonda.pipeline.problems import MAX_ISSUES, Invalid, Malformed, Problem
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.escape import hide_login
from tests.support.bodies import LOG, METRIC, changed
from tests.support.extras import needs

BODY_BYTES: Final = 1 << 20
MOST_TRACED_BYTES: Final = 50_000_000
LONGEST_DETAIL: Final = 20_000


def prepare(raw: bytes) -> Result[EncodedEvent, Problem]:
    return (
        parse(raw)
        .bind(partial(validate, received_ns=1))
        .bind(partial(preflight, in_server=True))
        .bind(encode)
    )


def names(begin: str = "l") -> list[str]:
    return [f"{begin}{number}" for number in range(60_000)]


LONG: Final = "x" * 900_000
SYSLOG: Final = {"type": "syslog"}
LOKI: Final = {"type": "loki", "url": "http://loki"}
TCP: Final = {"type": "tcp", "address": "h:1"}


Written: TypeAlias = Iterator[tuple[str, Callable[[], Any]]]
"""Names, and what makes the body of that name."""


def many() -> Written:
    """Bodies with ten thousands of problems."""
    wrong: tuple[Any, ...] = (1, [], {}, None, 1e300)
    for value in wrong:
        yield f"labels of {value}", partial(labelled, value)
    yield "label names", lambda: changed(LOG, labels=dict.fromkeys(names("-"), ""))
    yield "fields", lambda: changed(LOG, log__fields=dict.fromkeys(names(), 1))
    yield "unknown fields", lambda: {**LOG, **dict.fromkeys(names(), 1)}
    for field in ("log", "encoder", "sink"):
        yield f"fields of {field}", partial(with_fields_of, field)
    for value in ("\n", 1, "x"):
        yield f"headers of {value!r}", partial(with_headers, value)
    yield "retry", lambda: changed(LOG, sink=TCP | {"retry": dict.fromkeys(names(), 1)})
    yield "statuses", lambda: expecting({"status": ["x"] * 200_000})
    yield "pointers", lambda: expecting({"json": dict.fromkeys(names("-"), 1)})
    yield "expected values", lambda: expecting({"json": {"/a": [[{}]] * 160_000}})
    yield (
        "syslog names",
        lambda: changed(LOG, encoder=SYSLOG, log__fields=dict.fromkeys(names(" "), "")),
    )
    influx = {"type": "influx_lp"}
    yield (
        "influx values",
        lambda: changed(METRIC, encoder=influx, labels=dict.fromkeys(names(), "\n\\")),
    )
    kafka = {"type": "kafka", "topic": "t"}
    brokers = "[{}]:1".format
    yield "brokers", lambda: changed(LOG, sink=kafka | {"brokers": ",".join(map(brokers, names()))})


def labelled(value: Any) -> dict[str, Any]:
    return changed(LOG, labels=dict.fromkeys(names(), value))


def with_fields_of(field: str) -> dict[str, Any]:
    return {**LOG, field: {**LOG[field], **dict.fromkeys(names(), 1)}}


def with_headers(value: Any) -> dict[str, Any]:
    return changed(LOG, sink=LOKI | {"headers": dict.fromkeys(names("- "), value)})


def expecting(what: dict[str, Any]) -> dict[str, Any]:
    return changed(LOG, sink={"type": "http_push", "url": "http://h", "expect": what})


def long() -> Written:
    """Bodies with a long string in every place that takes one."""
    yield "signal", lambda: changed(LOG, signal_type=LONG)
    yield "timestamp", lambda: changed(LOG, timestamp=LONG)
    yield "severity", lambda: changed(LOG, log__severity=LONG)
    yield "metric", lambda: changed(METRIC, metric__name="-" + LONG)
    yield "label", lambda: changed(LOG, labels={"-" + LONG: ""})
    yield "unknown", lambda: {**LOG, LONG: 1}
    for kind in ("encoder", "sink"):
        yield kind, partial(dict, LOG, **{kind: {"type": LONG}})
    yield "hostname", lambda: changed(LOG, encoder=SYSLOG | {"hostname": LONG})
    yield "framing", lambda: changed(LOG, sink=TCP | {"framing": LONG})
    for address in (
        LONG,
        f"[{LONG}]:1",
        f"[{':' * 900_000}]:1",
        f"u:{LONG}@h:1",
        f"h:{'1' * 900_000}",
    ):
        yield f"address {address[:3]}", partial(changed, LOG, sink=TCP | {"address": address})
    for url in (
        LONG,
        f"http://{LONG}",
        f"http://[{LONG}]",
        f"http://u:{LONG}@h",
        f"http://h:{'1' * 900_000}",
        "@" * 900_000,
    ):
        yield f"url {url[:11]}", partial(changed, LOG, sink=LOKI | {"url": url})
    yield "path", lambda: changed(LOG, sink={"type": "file", "path": "a/" * 450_000})
    yield (
        "server name",
        lambda: changed(LOG, sink=TCP | {"tls": {"server_name": ":" * 900_000}}),
    )
    yield "duration", lambda: changed(LOG, sink=TCP | {"timeout": "1" * 900_000})
    yield "header", lambda: changed(LOG, sink=LOKI | {"headers": {" " + LONG: LONG}})
    yield "topic", lambda: changed(LOG, sink={"type": "kafka", "brokers": "a:1", "topic": LONG})
    yield "verify", lambda: changed(LOG, verify={"url": LONG})
    bare = {name: value for name, value in LOG.items() if name not in ("encoder", "sink")}
    yield "destination", lambda: {**bare, "destination": LONG}


def raw() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Bodies that no JSON library of ours would write."""
    yield "brackets", lambda: b'{"signal_type":' + b"[" * 900_000
    yield "braces", lambda: b'{"a":' * 180_000
    yield "arrays", lambda: b'{"labels":[' + b"[]," * 300_000 + b"[]]}"
    yield "objects, one number", lambda: b'{"a":1e100,"labels":[' + b"{}," * 300_000 + b"{}]}"
    yield "numbers", lambda: b'{"a":1e100,"labels":[' + b"1e5," * 220_000 + b"1]}"
    yield "zeros", lambda: b'{"labels":[' + b"-0," * 300_000 + b"1]}"
    yield "one name", lambda: b"{" + b'"a":1,' * 150_000 + b'"a":1}'
    yield "a long integer", lambda: b'{"a":' + b"1" * 900_000 + b"}"
    yield "a long fraction", lambda: b'{"a":0.' + b"1" * 900_000 + b"}"
    yield "bytes", lambda: b'{"a":"' + b"\xff" * 900_000
    yield "surrogates", lambda: b'{"a":"' + b"\\ud800" * 150_000 + b'"}'


def case(wanted: str) -> bytes:
    """Make the one body of a name: all of them are 60 MB."""
    for name, make in raw():
        if name == wanted:
            return make()
    return next(
        json.dumps(make()).encode()[:BODY_BYTES]
        for name, make in chain(many(), long())
        if name == wanted
    )


COUNTED: Final = {name for name, _ in many()} - {
    *("brokers", "pointers", "expected values", "statuses", "headers of 'x'")
}
"""Bodies of which what is not listed is counted."""


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, _ in chain(many(), long(), raw())])
def test_a_refusal_is_bounded(name: str) -> None:
    """It lists at most 20 issues and counts the rest, quotes little, and takes little memory."""
    body = case(name)
    prepare(b"{}")
    tracemalloc.start()
    try:
        result = prepare(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not isinstance(result, Success)
    problem = result.failure()
    assert len(str(problem)) < LONGEST_DETAIL
    assert peak < MOST_TRACED_BYTES
    if isinstance(problem, (Malformed, Invalid)):
        assert 0 < len(problem.issues) <= MAX_ISSUES
        assert problem.more >= 59_000 or name not in COUNTED


def calls(work: Callable[[], object]) -> int:
    """Return how many calls *work* makes, of Python and of C, which no clock can blur."""
    count = 0

    def profile(_frame: object, event: str, _what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "name", ["labels of 1", "labels of []", "labels of None", "fields", "headers of 1", "retry"]
)
def test_a_wrong_type_costs_no_call_a_member(name: str) -> None:
    """Sixty thousand members of another type are found and counted in a few calls."""
    body = case(name)
    prepare(body)
    assert calls(lambda: prepare(body)) < 60_000


@pytest.mark.parametrize("sign", ["@", "%40", "\uff20"])
def test_a_long_login_costs_no_call_a_sign(sign: str) -> None:
    """The last of three hundred thousand signs is found in a few calls, and all before it is hidden."""
    text = sign * 300_000
    assert calls(lambda: hide_login(text)) < 30
    assert hide_login(f"http://{text}h") == "http://***@h"


def test_wrong_names_cost_a_call_each() -> None:
    """Which ones are wrong, and how many, one call for each tells."""
    body = case("label names")
    prepare(body)
    assert calls(lambda: prepare(body)) < 150_000


VALID: Final = {
    "json_lines": LOG,
    "syslog": LOG,
    "otlp": LOG,
    "prometheus_text": METRIC,
    "influx_lp": METRIC,
    "remote_write": METRIC,
}


@pytest.mark.long
@pytest.mark.parametrize(
    "encoder", [pytest.param(name, marks=needs("encoder", name)) for name in VALID]
)
def test_an_event_of_many_labels(encoder: str) -> None:
    """It is encoded in some calls a label, and in bounded memory."""
    body = changed(
        VALID[encoder],
        labels=dict.fromkeys(names(), "x"),
        encoder={"type": encoder},
        sink={"type": "http_push", "url": "http://h"},
    )
    written = json.dumps(body).encode()
    prepared = [prepare(json.dumps(changed(body, labels={})).encode())]  # loads what it needs
    assert calls(lambda: prepared.append(prepare(written))) < 60_000 * 10
    assert all(isinstance(one, Success) for one in prepared)
    tracemalloc.start()
    try:
        prepare(written)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_TRACED_BYTES


@pytest.mark.parametrize("digits", [199, 200, 201])
def test_runs_of_digits(digits: int) -> None:
    """However many stand in a row, in text or as a number, what they say is read."""
    found = parse(b'{"a":"%b","b":1%b}' % (b"7" * digits, b"0" * digits)).unwrap()
    assert found == {"a": "7" * digits, "b": 10**digits}
