"""Runs of scenarios into collectors: what a request of many events holds, and the verdicts on it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("grpc")
pytest.importorskip("opentelemetry.proto")

import grpc

from sonda.pipeline.scenarios.report import Report
from sonda.scenarios import load_scenario, run_scenario
from tests.support.collectors import accepts, collector, fails, rejects
from tests.support.faulty import faulty, serving
from tests.support.wire_otlp import exported_logs

COUNT = 32  # as many as a run hands over first


def _run(sink: dict[str, Any]) -> Report:
    """Run an entry of COUNT logs that are due at once."""
    document = {
        "name": "run",
        "signal_type": "logs",
        "rate": 1000,
        "count": COUNT,
        "pace": "max",
        "log_generator": {"type": "template", "templates": ["m{tick}"]},
        "encoder": {"type": "otlp"},
        "sink": sink,
    }
    return run_scenario(load_scenario(document).unwrap()).unwrap()


def _to_grpc(url: str) -> dict[str, Any]:
    return {"type": "otlp_grpc", "endpoint": url, "signal_type": "logs"}


def _verdicts(report: Report) -> tuple[int, int, int]:
    ledger = report.ledger
    return ledger.delivered, ledger.rejected, ledger.unknown


def test_a_call_has_many_records() -> None:
    """Each event is there once."""
    with collector(accepts) as server:
        report = _run(_to_grpc(server.url))
        calls = [exported_logs(called.body) for called in server.calls.items]
    assert _verdicts(report) == (COUNT, 0, 0)
    assert len(calls) < COUNT
    found = [log.body for call in calls for log in call]
    assert sorted(found) == sorted(f"m{tick}" for tick in range(COUNT))


def test_a_call_that_rejects_some_is_not_made_again() -> None:
    """The collector does not tell which: as many are rejected, the others are delivered."""
    with collector(rejects(3, "too old"), accepts) as server:
        report = _run(_to_grpc(server.url))
        sizes = [len(exported_logs(called.body)) for called in server.calls.items]
    assert sum(sizes) == COUNT
    assert _verdicts(report) == (COUNT - 3, 3, 0)
    assert f"but rejected 3 of {sizes[0]} events, and did not tell which: too old" in str(report)


def test_a_request_that_rejects_some_is_not_made_again() -> None:
    """The same over HTTP."""
    body = rejects(3, "")(None)  # type: ignore[arg-type]  # it asks nothing of the call
    yes = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
    with faulty(serving(b"%bContent-Length: %d\r\n\r\n%b" % (yes, len(body), body))) as server:
        report = _run({"type": "otlp_http", "endpoint": server.url})
    assert _verdicts(report) == (COUNT - 3 * report.ledger.pushes, 3 * report.ledger.pushes, 0)


def test_a_call_with_an_invalid_record_is_made_again_record_by_record() -> None:
    """So that only the guilty one is rejected: here nobody is, the second time."""
    with collector(fails(grpc.StatusCode.INVALID_ARGUMENT), accepts) as server:
        report = _run(_to_grpc(server.url))
        first, *others = [len(exported_logs(called.body)) for called in server.calls.items]
    assert _verdicts(report) == (COUNT, 0, 0)
    assert (first, others) == (COUNT, [1] * COUNT)
