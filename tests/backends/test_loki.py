"""Events in a real Loki: what was answered with yes is found, what it refuses is a no."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from returns.result import Failure, Success

import sonda
from sonda.pipeline.problems import Refused, Unreachable
from tests.bodies import LOG, changed
from tests.serving import serving

from .ledger import Ledger
from .loki import HOUR_NS, Loki

README = Path(__file__).parents[2] / "README.md"


def event(loki: Loki, name: str, **changes: Any) -> dict[str, Any]:
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

    async def send() -> list[Any]:
        async with sonda.Pipeline() as pipeline:
            body = event(loki, name)
            return await asyncio.gather(*(pipeline.emit(body) for _ in range(count)))

    receipts = [result.unwrap() for result in asyncio.run(send())]
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


def test_a_refusal_is_quoted(loki: Loki) -> None:
    """Loki judges the labels, and its words reach the user."""
    problem = sonda.emit(event(loki, "x", labels={f"label_{n}": "x" for n in range(20)})).failure()
    assert isinstance(problem, Refused)
    assert (problem.target, problem.status) == (loki.url, "400 Bad Request")
    assert "has 20 label names; limit 15" in problem.answer


def test_a_wrong_path_is_a_no(loki: Loki) -> None:
    """A Loki behind another path is not found, and that is no acknowledgement."""
    problem = sonda.emit(event(loki, "x", sink__url=f"{loki.url}/nowhere")).failure()
    assert isinstance(problem, Refused)
    assert problem.status == "404 Not Found"


def secured(loki: Loki, name: str, **tls: Any) -> dict[str, Any]:
    certificates = loki.certificates
    assert certificates
    paths = {"ca_cert": str(certificates.ca_cert), **tls}
    headers = {"X-Scope-OrgID": "tenant-a"}
    return event(loki, name, sink={"type": "loki", "url": loki.url, "headers": headers, "tls": paths})


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
    landed.record("loki", sent=1, found=1)
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


def demo(step: str) -> str:
    match = re.search(
        rf"<!-- loki demo: {step} -->\n```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    assert match
    return match[1]


def shell(command: str) -> dict[str, Any]:
    run = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def test_the_readmes_demo(loki: Loki, landed: Ledger) -> None:
    """The demo, as the README has it but for the ports, finds its event."""
    began_ns = time.time_ns()
    with serving() as server:

        def typed(step: str) -> str:
            command = demo(step)
            assert "http://localhost:8080" in command or "http://localhost:3100" in command
            loki_url = loki.url.replace("127.0.0.1", "localhost")
            command = command.replace("http://localhost:8080", server.url)
            return command.replace("http://localhost:3100", loki_url)

        answer = shell(typed("send"))
        assert (answer["sent"], answer["signal_type"]) == (True, "logs")
        (warning,) = answer["warnings"]
        assert "docs/deployment/endpoints.md" in warning
        loki.wait_for('{event="deploy_start"}', start_ns=began_ns, end_ns=began_ns + HOUR_NS)
        found = shell(typed("find"))
    landed.record("loki", sent=1, found=1)
    (stream,) = found["data"]["result"]
    assert found["data"]["resultType"] == "streams"
    assert stream["stream"]["env"] == "prod"
    assert json.loads(stream["values"][0][1])["fields"] == {"version": "1.2.2"}
