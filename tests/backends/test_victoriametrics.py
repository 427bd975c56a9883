"""Metrics in a real VictoriaMetrics, by each of the formats that it takes from us."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

import sonda
from sonda.pipeline.problems import Refused
from tests.support.bodies import METRIC, changed

from .ledger import Ledger
from .sending import emit_all, metric_to
from .victoriametrics import VictoriaMetrics

WAYS = {  # the encoder, the sink, the path, and what is added to the metric's name
    "prometheus": ("prometheus_text", "http_push", "/api/v1/import/prometheus", ""),
    "influx": ("influx_lp", "http_push", "/write", "_value"),
    "remote_write": ("remote_write", "remote_write", "/api/v1/write", ""),
}
# It stores decimal numbers of some twelve digits, knows no negative zero, and is a destination for
# measurements: the tests with InfluxDB are about every last bit.
VALUES = [0.1, -1.5, 100.0, 0.0, 1e21, 1e-21, 123456.789, 2.0**53]
AWKWARD = {
    "prometheus": [
        *('a"b', r"a\b", "a\nb", r"a\nb", '\\"', "\\\\", "\\", "\n", '"', "\r\n"),
        *("a,b", "a=b", "a b", " a ", "{}", "#a", "\x01", "é€😀", "\N{LINE SEPARATOR}"),
    ],
    # Its dialect of line protocol takes `\\` for one backslash, where InfluxDB's has two of them,
    # so a text with a backslash before another one, or before `,= `, does not get there.
    "influx": [
        *("a,b", "a=b", "a b", " a ", 'a"b', '"q"', r"a\b", r"\a", r"a\nb"),
        *("{}", "#a", "1i", "tab\ta", "\x01", "é€😀", "\N{LINE SEPARATOR}"),
    ],
    "remote_write": [
        *('a"b', r"a\b", "a\nb", r"a\nb", '\\"', "\\\\", "\\", "\n", '"', "\r\n"),
        *("a,b", "a=b", " a ", "{}", "#a", "\x00", "\x01", "é€😀", "\N{LINE SEPARATOR}"),
    ],
}


def event(vm: VictoriaMetrics, way: str, name: str, **changes: Any) -> dict[str, Any]:
    """Write the body of a metric that goes there this way."""
    encoder, sink, path, _ = WAYS[way]
    return changed(metric_to(vm.web.url + path, name, encoder, sink__type=sink), **changes)


def new_name() -> str:
    """Make up a metric that nobody else sends."""
    return f"sonda:{uuid4().hex}"


@pytest.mark.parametrize("way", WAYS)
def test_values_labels_and_times_come_back(
    victoriametrics: VictoriaMetrics, landed: Ledger, way: str
) -> None:
    """Each sample is found under its labels, with its value, at its millisecond."""
    name, texts = new_name(), AWKWARD[way]
    values = [VALUES[n % len(VALUES)] for n in range(len(texts))]
    receipts = emit_all(
        event(victoriametrics, way, name, labels={"k": text, "empty": ""}, metric__value=value)
        for text, value in zip(texts, values, strict=True)
    )
    assert {receipt.status for receipt in receipts} == {204}
    stored = name + WAYS[way][-1]
    found = victoriametrics.wait_for(stored, count=len(texts))
    landed.record(f"victoriametrics {way}", sent=len(texts), found=len(found))
    expected = {
        text: ({"__name__": stored, "k": text}, [(receipt.time_ns // 1_000_000, value)])
        for text, value, receipt in zip(texts, values, receipts, strict=True)
    }
    assert {series.labels["k"]: (series.labels, series.samples) for series in found} == expected


@pytest.mark.parametrize("way", WAYS)
def test_an_event_of_long_ago_keeps_its_time(
    victoriametrics: VictoriaMetrics, landed: Ledger, way: str
) -> None:
    """The event's own time is what is stored, floored to milliseconds."""
    name, time = new_name(), "2026-03-23T15:29:02.483999999Z"
    sonda.emit(event(victoriametrics, way, name, timestamp=time)).unwrap()
    (series,) = victoriametrics.wait_for(name + WAYS[way][-1])
    landed.record(f"victoriametrics {way}", sent=1, found=1)
    assert series.samples == [(1_774_279_742_483, 1.0)]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_otlp_over_http(victoriametrics: VictoriaMetrics, landed: Ledger, compression: str) -> None:
    """It takes OTLP's metrics below a path of its own: a gauge's value, labels and millisecond."""
    name = f"sonda_{uuid4().hex}"
    sink = {
        "type": "otlp_http",
        "endpoint": f"{victoriametrics.web.url}/opentelemetry",
        "compression": compression,
    }
    body = changed(METRIC, metric__name=name, encoder={"type": "otlp"}, sink=sink)
    receipts = emit_all(
        changed(body, labels={"k": f"{n}"}, metric__value=float(n)) for n in range(20)
    )
    assert {receipt.status for receipt in receipts} == {200}
    found = victoriametrics.wait_for(name, count=20)
    landed.record("victoriametrics otlp_http", sent=20, found=len(found))
    expected = {
        f"{n}": [(receipt.time_ns // 1_000_000, float(n))] for n, receipt in enumerate(receipts)
    }
    assert {series.labels["k"]: series.samples for series in found} == expected


@pytest.mark.parametrize(
    "labels",
    [{"k": "x" * 4097}, {f"l{n}": "x" for n in range(41)}, {"l" * 257: "x"}],
    ids=["long value", "many labels", "long name"],
)
def test_its_yes_may_mean_that_it_drops_a_series(
    victoriametrics: VictoriaMetrics, landed: Ledger, labels: dict[str, str]
) -> None:
    """Beyond its limits on labels it says yes and stores nothing: the README warns of that."""
    dropped, kept = new_name(), new_name()
    for body in (
        event(victoriametrics, "remote_write", dropped, labels=labels),
        event(victoriametrics, "remote_write", kept),
    ):
        assert sonda.emit(body).unwrap().status == 204
    stored = victoriametrics.wait_for(kept)
    landed.record("victoriametrics remote_write", sent=1, found=len(stored))
    assert victoriametrics.export(dropped) == []


def test_a_refusal_is_quoted(victoriametrics: VictoriaMetrics) -> None:
    """What it cannot read is a no, in its words."""
    body = event(victoriametrics, "influx", new_name(), encoder={"type": "json_lines"})
    problem = sonda.emit(body).failure()
    assert isinstance(problem, Refused)
    assert problem.status == "400 Bad Request"
    assert "cannot process influx line protocol data" in problem.answer
