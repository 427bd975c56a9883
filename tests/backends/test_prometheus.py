"""Samples in a real Prometheus, by remote write: the sink of that name, and `http_push`."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import sonda
from sonda.pipeline.problems import Refused
from tests.support.bodies import METRIC, changed
from tests.support.serving import Serving

from . import readme
from .conftest import installed
from .ledger import Ledger
from .prometheus import Prometheus, Series, start_prometheus
from .sending import emit_all, post

VALUES = [0.1, 0.1 + 0.2, -1.5, 100.0, 0.0, -0.0, 1e21, 5e-324, 1.7976931348623157e308, 2.0**63]
AWKWARD = [
    *('a"b', r"a\b", "a\nb", r"a\nb", '\\"', "\\\\", "\\", "\n", '"', "\r\n", "a,b", "a=b", " a "),
    *("{}", "#a", "\x00", "\x01", "é€😀", "\N{LINE SEPARATOR}", "\ufeff", "x" * 10_000),
]
every_sink = pytest.mark.parametrize("sink", ["remote_write", "http_push"])


def event(prometheus: Prometheus, name: str, sink: str, **changes: Any) -> dict[str, Any]:
    """Write the body of a metric for Prometheus."""
    body = changed(
        METRIC,
        metric__name=name,
        encoder={"type": "remote_write"},
        sink={"type": sink, "url": prometheus.write_url},
    )
    return changed(body, **changes)


def new_name() -> str:
    """Make up a metric that nobody else sends."""
    return f"sonda:{uuid4().hex}"


def ago(**span: float) -> str:
    """Write a time of the past as a timestamp."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def refusal(body: dict[str, Any]) -> Refused:
    """Send an event that is not taken."""
    problem = sonda.emit(body).failure()
    assert isinstance(problem, Refused)
    return problem


def test_the_pages_example(prometheus: Prometheus, server: Serving, landed: Ledger) -> None:
    """The README's event, typed as it stands there, is found by the query below it."""
    here = {readme.SONDA: server.url, readme.PROMETHEUS: prometheus.web.url}
    answer = readme.typed("prometheus: send", here)
    assert (answer["sent"], answer["signal_type"]) == (True, "metrics")
    found = readme.typed("prometheus: find", {readme.PROMETHEUS: prometheus.web.url})
    landed.record("prometheus remote_write", sent=1, found=len(found["data"]["result"]))
    [series] = found["data"]["result"]
    assert series["metric"] == {
        "__name__": "deploy_timestamp_seconds",
        "event": "deploy_start",
        "job": "sonda",
    }
    assert series["value"][1] == "1795935351"


@every_sink
def test_a_metric_is_found(prometheus: Prometheus, landed: Ledger, sink: str) -> None:
    """Labels, value and time come back as they went in, to the millisecond."""
    name = new_name()
    labels = {"event": "deploy_start", "Zone": "b", "_a": "1", "__hidden": "2", "empty": ""}
    receipt = sonda.emit(event(prometheus, name, sink, labels=labels)).unwrap()
    assert (receipt.confirmed, receipt.status) == (sonda.Confirmed.ACCEPTED, 204)
    stored = prometheus.wait_for(name)
    landed.record(f"prometheus {sink}", sent=1, found=len(stored))
    del labels["empty"]
    expected = Series({"__name__": name, **labels}, [(receipt.time_ns // 1_000_000, 1.0)])
    assert stored == [expected]


@every_sink
def test_every_double_comes_back(prometheus: Prometheus, landed: Ledger, sink: str) -> None:
    """What comes back is the same double, the sign of a zero included."""
    name = new_name()
    emit_all(
        event(prometheus, name, sink, labels={"n": str(n)}, metric__value=value)
        for n, value in enumerate(VALUES)
    )
    stored = prometheus.wait_for(name, count=len(VALUES))
    landed.record(f"prometheus {sink}", sent=len(VALUES), found=len(stored))
    found = {int(series.labels["n"]): series.samples[0][1] for series in stored}
    assert [found[n] for n in range(len(VALUES))] == VALUES
    assert [math.copysign(1, found[n]) for n in range(len(VALUES))] == [
        math.copysign(1, value) for value in VALUES
    ]


@every_sink
def test_awkward_labels_come_back(prometheus: Prometheus, landed: Ledger, sink: str) -> None:
    """Every text is the same afterwards."""
    name = new_name()
    emit_all(event(prometheus, name, sink, labels={"k": text}) for text in AWKWARD)
    stored = prometheus.wait_for(name, count=len(AWKWARD))
    landed.record(f"prometheus {sink}", sent=len(AWKWARD), found=len(stored))
    assert sorted(series.labels["k"] for series in stored) == sorted(AWKWARD)


def test_a_sample_out_of_order_is_refused(prometheus: Prometheus, landed: Ledger) -> None:
    """An older sample of a series that has a newer one is a no, in Prometheus' words."""
    name = new_name()
    newer = event(prometheus, name, "remote_write", timestamp=ago(seconds=1))
    sonda.emit(newer).unwrap()
    for older in (
        event(prometheus, name, "remote_write", timestamp=ago(seconds=2)),
        event(prometheus, name, "http_push", timestamp=ago(seconds=2)),
    ):
        assert refusal(older) == Refused(
            prometheus.write_url, "400 Bad Request", "out of order sample"
        )
    stored = prometheus.wait_for(name)
    landed.record("prometheus remote_write", sent=1, found=len(stored))
    assert len(stored[0].samples) == 1


def test_a_resend_is_the_same_sample(prometheus: Prometheus, landed: Ledger) -> None:
    """The same sample again is a yes and stays one; another value for its time is a no."""
    name = new_name()
    again = event(prometheus, name, "remote_write", timestamp=ago(seconds=1))
    for _ in range(2):
        assert sonda.emit(again).unwrap().status == 204
    other = changed(again, metric__value=2.0)
    assert refusal(other) == Refused(
        prometheus.write_url, "400 Bad Request", "duplicate sample for timestamp"
    )
    stored = prometheus.wait_for(name)
    landed.record("prometheus remote_write", sent=1, found=len(stored))
    assert [value for series in stored for _, value in series.samples] == [1.0]


def test_how_old_a_sample_may_be(prometheus: Prometheus, landed: Ledger) -> None:
    """Prometheus takes a new series of half an hour ago, and none of over an hour before its newest."""
    sonda.emit(event(prometheus, new_name(), "remote_write")).unwrap()
    old, too_old = new_name(), new_name()
    sonda.emit(event(prometheus, old, "remote_write", timestamp=ago(minutes=30))).unwrap()
    late = event(prometheus, too_old, "remote_write", timestamp=ago(minutes=61))
    assert refusal(late) == Refused(prometheus.write_url, "400 Bad Request", "out of bounds")
    stored = prometheus.wait_for(old)
    landed.record("prometheus remote_write", sent=1, found=len(stored))
    assert prometheus.stored(too_old) == []


def test_a_sample_of_the_future_moves_the_bounds(landed: Ledger) -> None:
    """After it Prometheus takes nothing of the present: its hour counts from the newest sample."""
    with start_prometheus(installed("prometheus")) as alone:
        future = event(alone, "future", "remote_write", timestamp=ago(hours=-2))
        assert sonda.emit(future).unwrap().status == 204
        present = event(alone, "present", "remote_write")
        assert refusal(present) == Refused(alone.write_url, "400 Bad Request", "out of bounds")
        stored = alone.stored("future", until_s=time.time() + 3 * 3600)
    landed.record("prometheus remote_write", sent=1, found=len(stored))
    assert [series.labels["__name__"] for series in stored] == ["future"]


def test_what_is_no_remote_write_is_refused(prometheus: Prometheus) -> None:
    """Another format at this endpoint is a no."""
    text = event(prometheus, new_name(), "http_push", encoder={"type": "prometheus_text"})
    assert refusal(text).status == "400 Bad Request"


def test_a_refusal_through_the_server(prometheus: Prometheus, server: Serving) -> None:
    """The server answers 502 with what Prometheus says."""
    name = new_name()
    sonda.emit(event(prometheus, new_name(), "remote_write")).unwrap()
    late = event(prometheus, name, "remote_write", timestamp=ago(days=1))
    status, answer = post(server.url, late)
    assert "own loopback" in answer.pop("warnings")[0]
    assert (status, answer) == (
        502,
        {
            "error": "bad_gateway",
            "detail": f"sink error: {prometheus.write_url} answered 400 Bad Request: out of bounds",
        },
    )
