"""The page's scenarios, typed as the README shows them; only the ports are others."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_readme_cli import alike, shown
from tests.support.ports import free_ports
from tests.support.serving import Serving

from . import readme
from .conftest import installed
from .ledger import Ledger
from .loki import READY_TIMEOUT_S, Loki
from .process import Process, started
from .stdout import piped
from .web import LISTENS, Web

WARNING = (
    "scenario entry 'events.logs' sink `loki` targets `{url}` — this host resolves to the "
    "sonda-server container's own loopback, not your host. Use a Docker Compose service name "
    "(e.g. `victoriametrics:8428`) or a Kubernetes Service DNS name instead. See "
    "docs/deployment/endpoints.md."
)


def test_the_workshop_event(landed: Ledger, tmp_path: Path) -> None:
    """The first `curl` is answered as the README says, and the event is on standard output."""
    with piped(tmp_path) as pipe:
        answer = readme.typed("first curl", {readme.SONDA: pipe.url})
        (line,) = pipe.finish().splitlines()
    landed.record("stdout pipe", sent=1, found=1)
    latency_ms = answer.pop("latency_ms")
    assert (answer, type(latency_ms)) == ({"sent": True, "signal_type": "logs"}, int)
    event = json.loads(line)
    assert event.pop("timestamp")
    assert event == {
        "severity": "info",
        "message": "Deploy started",
        "labels": {"env": "prod", "event": "deploy_start"},
        "fields": {"version": "1.2.2"},
    }


@pytest.fixture
def loki_for_people(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """Run what `make loki` runs, on another port."""
    installed("loki")
    [port] = free_ports(1)
    command = (sys.executable, "-m", "tests.backends.loki", "--port", str(port))
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with started(command, folder=tmp_path, env=env) as process:
        listens = process.wait_for_log(LISTENS, timeout_s=READY_TIMEOUT_S)
        assert int(listens[1]) == port
        yield process, f"http://localhost:{port}"


def test_the_annotation(
    loki_for_people: tuple[Process, str], server: Serving, landed: Ledger
) -> None:
    """The demo's event is found by the demo's query, and drawn by Grafana; Ctrl-C ends its Loki."""
    process, url = loki_for_people
    began_ns = time.time_ns()
    answer = readme.typed("loki demo: send", {readme.SONDA: server.url, readme.LOKI: url})
    assert (answer["sent"], answer["signal_type"]) == (True, "logs")
    assert answer["warnings"] == [WARNING.format(url=url)]
    found = readme.typed("loki demo: find", {readme.LOKI: url})
    landed.record("loki", sent=1, found=len(as_grafana_reads_it(found)))
    # What Grafana's data source asks for an annotation, over the time that a panel shows.
    shown = Web(url, process).get(
        "/loki/api/v1/query_range",
        query='{event="deploy_start"}',
        direction="backward",
        limit=100,
        start=began_ns,
        end=time.time_ns(),
        step="2000ms",
    )
    for document in (found, json.loads(shown)):
        ((time_ns, line, labels),) = as_grafana_reads_it(document)
        assert began_ns < time_ns < time.time_ns()
        assert labels.items() >= {"event": "deploy_start", "env": "prod"}.items()
        event = json.loads(line)
        assert (event["message"], event["fields"]) == ("Deploy started", {"version": "1.2.2"})
    readable = Web(url, process).get(
        "/loki/api/v1/query_range",
        query=readme.formatted_query(),
        start=began_ns,
        end=time.time_ns(),
    )
    ((_, line, _),) = as_grafana_reads_it(json.loads(readable))
    assert line == "Deploy started 1.2.2"
    assert process.stop(signal.SIGINT) == 0


def test_what_the_readme_compares_with(loki: Loki) -> None:
    """Its curl is accepted, and its `--fail` tells a refusal."""
    accepted = readme.snippet("loki: curl").replace(readme.LOKI, loki.url)
    refused = accepted.replace('"env"', '"a-b"')
    assert subprocess.run(["bash", "-c", accepted], timeout=60, check=False).returncode == 0
    assert subprocess.run(["bash", "-c", refused], timeout=60, check=False).returncode == 22


def test_what_the_readme_reads_back(loki: Loki, tmp_path: Path, landed: Ledger) -> None:
    """Its `--verify` prints what stands there."""
    [(typed, printed)] = shown("README.md", "loki: verify")
    words = shlex.split(typed.replace(readme.LOKI, loki.url))
    run = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert alike(run.stdout) == alike(printed.replace(readme.LOKI, loki.url))
    landed.record("loki", sent=1, found=1)


def as_grafana_reads_it(answer: dict[str, Any]) -> list[tuple[int, str, dict[str, str]]]:
    """Take an answer apart as Grafana's Loki data source does: time, line, labels of each entry."""
    assert answer["status"] == "success"
    assert answer["data"]["resultType"] == "streams"
    entries = []
    for stream in answer["data"]["result"]:
        labels = stream["stream"]
        assert all(isinstance(text, str) for item in labels.items() for text in item)
        for time_ns, line in stream["values"]:
            assert isinstance(line, str)
            assert re.fullmatch("[0-9]{19}", time_ns)  # a string: JavaScript would round a number
            entries.append((int(time_ns), line, labels))
    return entries


def test_localhost_of_a_container(server: Serving) -> None:
    """Where no Loki listens, as inside a container, the event is refused and the log says why."""
    [port] = free_ports(1)
    url = f"http://localhost:{port}"
    answer = readme.typed("loki demo: send", {readme.SONDA: server.url, readme.LOKI: url})
    assert answer == {
        "error": "bad_gateway",
        "detail": f"sink error: HTTP connect to localhost:{port}: Connection refused",
        "warnings": [WARNING.format(url=url)],
    }
    server.wait_for_log(f"WARNING sonda: {re.escape(WARNING.format(url=url))}\n")


def test_localhost_where_a_loki_listens(loki: Loki, server: Serving, landed: Ledger) -> None:
    """Where one does, the event lands, and both the answer and the log have the warning."""
    url = loki.url.replace("127.0.0.1", "localhost")
    began_ns = time.time_ns()
    answer = readme.typed("loki demo: send", {readme.SONDA: server.url, readme.LOKI: url})
    assert (answer["sent"], answer["warnings"]) == (True, [WARNING.format(url=url)])
    entries = loki.wait_for('{event="deploy_start"}', start_ns=began_ns)
    landed.record("loki", sent=1, found=len(entries))
    server.wait_for_log(f"WARNING sonda: {re.escape(WARNING.format(url=url))}\n")
