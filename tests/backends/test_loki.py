"""Events in a real Loki: what was answered with yes is found, what it refuses is a no."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from returns.result import Failure, Success

import sonda
from sonda.pipeline.problems import Refused, Unreachable
from tests.support.bodies import LOG, changed
from tests.support.serving import Serving

from .ledger import Ledger
from .loki import HOUR_NS, Loki
from .sending import emit_all, post


def event(loki: Loki, name: str, **changes: Any) -> dict[str, Any]:
    """Write the body of a log event with a label that nobody else has."""
    body = changed(LOG, labels={"event": name}, sink={"type": "loki", "url": loki.url})
    return changed(body, **changes)


def test_an_event_is_found(loki: Loki, landed: Ledger) -> None:
    """Line, labels and time come back as they went in, to the nanosecond."""
    name = uuid4().hex
    body = event(loki, name, log__message='naïve "q" \\ \n\t€😀')
    receipt = sonda.emit(body).unwrap()
    assert (receipt.confirmed, receipt.status) == (sonda.Confirmed.ACCEPTED, 204)
    (entry,) = loki.wait_for(f'{{event="{name}"}}')
    landed.record("loki", sent=1, found=1)
    assert entry.time_ns == receipt.time_ns
    assert entry.labels["event"] == name
    assert json.loads(entry.line)["message"] == body["log"]["message"]


def test_a_syslog_line_is_stored_without_its_line_feed(loki: Loki, landed: Ledger) -> None:
    """The line is the encoder's output without its last line feed."""
    name = uuid4().hex
    body = event(loki, name, encoder={"type": "syslog"}, log__message="two\nlines")
    line = sonda.encode(body).unwrap().decode()
    assert isinstance(sonda.emit(body), Success)
    (entry,) = loki.wait_for(f'{{event="{name}"}}')
    landed.record("loki", sent=1, found=1)
    assert line.endswith("two\nlines\n")
    assert entry.line.partition(" ")[2][24:] == line.partition(" ")[2][24:-1]  # but for the time


def test_many_at_once_are_all_found(loki: Loki, landed: Ledger) -> None:
    """Equal events at the same moment are kept apart by the clock; each 200 is found."""
    name, count = uuid4().hex, 500
    receipts = emit_all(event(loki, name) for _ in range(count))
    entries = loki.wait_for(f'{{event="{name}"}}', count=count)
    landed.record("loki", sent=count, found=len(entries))
    assert sorted(e.time_ns for e in entries) == sorted(r.time_ns for r in receipts)


def test_a_resend_is_the_same_event(loki: Loki, landed: Ledger) -> None:
    """With its own timestamp an event that is sent twice is stored once."""
    name = uuid4().hex
    now = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime())
    for _ in range(2):
        assert isinstance(sonda.emit(event(loki, name, timestamp=now)), Success)
    assert isinstance(sonda.emit(event(loki, name)), Success)
    entries = loki.wait_for(f'{{event="{name}"}}', count=2)
    landed.record("loki", sent=2, found=len(entries))
    assert len(entries) == 2


def test_otlp_over_http(loki: Loki, landed: Ledger) -> None:
    """Loki takes OTLP as well: the body is the line, attributes are its metadata."""
    name = uuid4().hex
    sink = {"type": "otlp_http", "endpoint": f"{loki.url}/otlp", "compression": "gzip"}
    body = event(loki, name, encoder={"type": "otlp"}, sink=sink, labels={"service": name})
    receipts = emit_all([body] * 20)
    assert {(each.confirmed, each.status) for each in receipts} == {("accepted", 204)}
    entries = loki.wait_for(f'{{service_name="{name}"}}', count=20)
    landed.record("loki otlp_http", sent=20, found=len(entries))
    assert {entry.line for entry in entries} == {"Deploy started"}
    assert {entry.metadata["service"] for entry in entries} == {name}
    assert sorted(e.time_ns for e in entries) == sorted(r.time_ns for r in receipts)


AT_NS = {"old": 1_577_836_800_000_000_000, "new": 4_102_444_800_000_000_000}
REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    # tenant: what is too much for it, and how Loki says so
    "old": ({"timestamp": "2020-01-01T00:00:00Z"}, "400 Bad Request", "has timestamp too old"),
    "new": ({"timestamp": "2100-01-01T00:00:00Z"}, "400 Bad Request", "has timestamp too new"),
    "long": (
        {"log__message": "x" * 2000},
        "400 Bad Request",
        "max entry size '1024' bytes exceeded",
    ),
    "labels": (
        {"labels": {f"label_{n}": "x" for n in range(6)}},
        "400 Bad Request",
        "has 6 label names; limit 5",
    ),
    "rate": (
        {"log__message": "x" * 2000},
        "429 Too Many Requests",
        "ingestion rate limit exceeded for user rate",
    ),
    "blocked": ({}, "260", "ingestion blocked for user 'blocked' until '2100-01-01T00:00:00Z'"),
}


@pytest.mark.parametrize("tenant", REFUSALS)
def test_a_refusal_is_a_502_in_lokis_words(
    loki_strict: Loki, server: Serving, landed: Ledger, tenant: str
) -> None:
    """Loki's limits make a no that quotes its reason, and nothing of the event is there."""
    too_much, says, words = REFUSALS[tenant]
    attempt = uuid4().hex
    mine = {"sink__headers": {"X-Scope-OrgID": tenant}, "log__fields": {"attempt": attempt}}
    body = event(loki_strict, "x", **mine, **too_much)
    status, answer = post(server.url, body)
    assert (status, answer["error"]) == (502, "bad_gateway")
    assert answer["detail"].startswith(
        f"sink error: {loki_strict.url}/loki/api/v1/push answered {says}"
    )
    assert words in answer["detail"]
    around_ns = AT_NS.get(tenant, time.time_ns())
    found = loki_strict.query_range(
        f'{{service_name=~".+"}} |= "{attempt}"',
        start_ns=around_ns - HOUR_NS,
        end_ns=around_ns + HOUR_NS,
        tenant=tenant,
    )
    landed.record("loki refusals", sent=1, found=len(found))
    assert found == []


@pytest.mark.parametrize("tenant", [tenant for tenant in REFUSALS if tenant != "blocked"])
def test_within_its_limits_a_tenant_may_write(
    loki_strict: Loki, landed: Ledger, tenant: str
) -> None:
    """It is the event that is refused, and not the tenant."""
    name = uuid4().hex
    sonda.emit(event(loki_strict, name, sink__headers={"X-Scope-OrgID": tenant})).unwrap()
    entries = loki_strict.wait_for(f'{{event="{name}"}}', tenant=tenant)
    landed.record("loki", sent=1, found=len(entries))


def test_without_a_tenant_it_is_a_no(loki_strict: Loki) -> None:
    """A Loki with tenants wants to know whose event it is."""
    problem = sonda.emit(event(loki_strict, "x")).failure()
    assert problem == Refused(
        f"{loki_strict.url}/loki/api/v1/push", "401 Unauthorized", "no org id"
    )


def test_a_wrong_path_is_a_no(loki: Loki) -> None:
    """A Loki behind another path is not found, and that is no acknowledgement."""
    problem = sonda.emit(event(loki, "x", sink__url=f"{loki.url}/nowhere")).failure()
    assert isinstance(problem, Refused)
    assert problem.status == "404 Not Found"


def secured(loki: Loki, name: str, **tls: Any) -> dict[str, Any]:
    """Write the body of a log event for a Loki with TLS and tenants."""
    certificates = loki.certificates
    assert certificates
    paths = {"ca_cert": str(certificates.ca_cert), **tls}
    headers = {"X-Scope-OrgID": "tenant-a"}
    return event(
        loki, name, sink={"type": "loki", "url": loki.url, "headers": headers, "tls": paths}
    )


def test_tls_with_a_client_certificate_and_a_tenant(loki_secured: Loki, landed: Ledger) -> None:
    """Behind mutual TLS the event lands with its tenant, and with no other."""
    name, certificates = uuid4().hex, loki_secured.certificates
    assert certificates
    body = secured(
        loki_secured,
        name,
        client_cert=str(certificates.client_cert),
        client_key=str(certificates.client_key),
    )
    assert isinstance(sonda.emit(body), Success)
    query = f'{{event="{name}"}}'
    assert loki_secured.wait_for(query, tenant="tenant-a")
    landed.record("loki tls+tenant", sent=1, found=1)
    assert loki_secured.query_range(query, tenant="tenant-b") == []


def test_tls_without_a_client_certificate_is_a_no(loki_secured: Loki) -> None:
    """A server that wants a certificate and gets none has not acknowledged anything."""
    assert isinstance(sonda.emit(secured(loki_secured, "x")), Failure)


def test_an_unknown_authority_is_a_no(loki_secured: Loki) -> None:
    """Certificates are always verified."""
    body = changed(secured(loki_secured, "x"), sink__tls={})
    problem = sonda.emit(body).failure()
    assert isinstance(problem, Unreachable)
    assert problem.reason.startswith("certificate verification failed")


def test_a_long_label_does_not_hide_the_reason(loki: Loki) -> None:
    """Loki names the value before it says what is wrong: start and end of its words are quoted."""
    problem = sonda.emit(event(loki, "x", labels={"event": "x" * 2049})).failure()
    assert isinstance(problem, Refused)
    assert "has label value too long" in problem.answer
    assert len(problem.answer) <= 1001
