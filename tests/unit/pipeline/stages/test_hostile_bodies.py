"""A body of a megabyte is refused in bounded memory and with a bounded text, whatever it holds."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

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


def many() -> Iterator[tuple[str, Any]]:
    """Bodies with ten thousands of problems."""
    wrong: tuple[Any, ...] = (1, [], {}, None, 1e300)
    for value in wrong:
        yield f"labels of {value}", changed(LOG, labels=dict.fromkeys(names(), value))
    yield "label names", changed(LOG, labels=dict.fromkeys(names("-"), ""))
    yield "fields", changed(LOG, log__fields=dict.fromkeys(names(), 1))
    yield "unknown fields", {**LOG, **dict.fromkeys(names(), 1)}
    for field in ("log", "encoder", "sink"):
        yield f"fields of {field}", {**LOG, field: {**LOG[field], **dict.fromkeys(names(), 1)}}
    for value in ("\n", 1, "x"):
        yield (
            f"headers of {value!r}",
            changed(LOG, sink=LOKI | {"headers": dict.fromkeys(names("- "), value)}),
        )
    yield "retry", changed(LOG, sink=TCP | {"retry": dict.fromkeys(names(), 1)})
    expect = {"type": "http_push", "url": "http://h", "expect": {"status": ["x"] * 200_000}}
    yield "statuses", changed(LOG, sink=expect)
    yield "pointers", changed(LOG, sink=expect | {"expect": {"json": dict.fromkeys(names("-"), 1)}})
    values: Any = {"json": {"/a": [[{}]] * 160_000}}
    yield "expected values", changed(LOG, sink=expect | {"expect": values})
    yield "syslog names", changed(LOG, encoder=SYSLOG, log__fields=dict.fromkeys(names(" "), ""))
    influx = {"type": "influx_lp"}
    yield "influx values", changed(METRIC, encoder=influx, labels=dict.fromkeys(names(), "\n\\"))
    brokers = ",".join(f"[{name}]:1" for name in names())
    yield "brokers", changed(LOG, sink={"type": "kafka", "topic": "t", "brokers": brokers})


def long() -> Iterator[tuple[str, Any]]:
    """Bodies with a long string in every place that takes one."""
    yield "signal", changed(LOG, signal_type=LONG)
    yield "timestamp", changed(LOG, timestamp=LONG)
    yield "severity", changed(LOG, log__severity=LONG)
    yield "metric", changed(METRIC, metric__name="-" + LONG)
    yield "label", changed(LOG, labels={"-" + LONG: ""})
    yield "unknown", {**LOG, LONG: 1}
    for kind in ("encoder", "sink"):
        yield kind, {**LOG, kind: {"type": LONG}}
    yield "hostname", changed(LOG, encoder=SYSLOG | {"hostname": LONG})
    yield "framing", changed(LOG, sink=TCP | {"framing": LONG})
    for address in (
        LONG,
        f"[{LONG}]:1",
        f"[{':' * 900_000}]:1",
        f"u:{LONG}@h:1",
        f"h:{'1' * 900_000}",
    ):
        yield f"address {address[:3]}", changed(LOG, sink=TCP | {"address": address})
    for url in (
        LONG,
        f"http://{LONG}",
        f"http://[{LONG}]",
        f"http://u:{LONG}@h",
        f"http://h:{'1' * 900_000}",
        "@" * 900_000,
    ):
        yield f"url {url[:11]}", changed(LOG, sink=LOKI | {"url": url})
    yield "path", changed(LOG, sink={"type": "file", "path": "a/" * 450_000})
    yield "server name", changed(LOG, sink=TCP | {"tls": {"server_name": ":" * 900_000}})
    yield "duration", changed(LOG, sink=TCP | {"timeout": "1" * 900_000})
    yield "header", changed(LOG, sink=LOKI | {"headers": {" " + LONG: LONG}})
    yield "topic", changed(LOG, sink={"type": "kafka", "brokers": "a:1", "topic": LONG})
    yield "verify", changed(LOG, verify={"url": LONG})
    yield (
        "destination",
        {**{k: v for k, v in LOG.items() if k not in ("encoder", "sink")}, "destination": LONG},
    )


def raw() -> Iterator[tuple[str, bytes]]:
    """Bodies that no JSON library of ours would write."""
    yield "brackets", b'{"signal_type":' + b"[" * 900_000
    yield "braces", b'{"a":' * 180_000
    yield "arrays", b'{"labels":[' + b"[]," * 300_000 + b"[]]}"
    yield "objects, one number", b'{"a":1e100,"labels":[' + b"{}," * 300_000 + b"{}]}"
    yield "numbers", b'{"a":1e100,"labels":[' + b"1e5," * 220_000 + b"1]}"
    yield "zeros", b'{"labels":[' + b"-0," * 300_000 + b"1]}"
    yield "one name", b"{" + b'"a":1,' * 150_000 + b'"a":1}'
    yield "a long integer", b'{"a":' + b"1" * 900_000 + b"}"
    yield "a long fraction", b'{"a":0.' + b"1" * 900_000 + b"}"
    yield "bytes", b'{"a":"' + b"\xff" * 900_000
    yield "surrogates", b'{"a":"' + b"\\ud800" * 150_000 + b'"}'


CASES: Final = {
    **{name: json.dumps(body).encode()[:BODY_BYTES] for name, body in (*many(), *long())},
    **dict(raw()),
}


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_bounded(name: str) -> None:
    """It lists at most 20 issues, quotes little of the body, and takes little memory."""
    body = CASES[name]
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


@pytest.mark.parametrize(
    "name", [name for name, _ in many() if name not in ("brokers", "pointers", "expected values")]
)
def test_all_issues_are_counted(name: str) -> None:
    """What is not listed is counted."""
    problem = prepare(CASES[name]).failure()
    if isinstance(problem, (Malformed, Invalid)) and name not in ("statuses", "headers of 'x'"):
        assert problem.more >= 59_000


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
    body = CASES[name]
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
    body = CASES["label names"]
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
    assert isinstance(prepare(written), Success)
    assert calls(lambda: prepare(written)) < 60_000 * 10
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
