"""`sonda emit` and real products: what it says was delivered is there, and a second try adds nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

from tests.support.bodies import LOG, changed
from tests.support.destinations import PATIENCE_S

from .ledger import Ledger
from .loki import Loki
from .prometheus import Prometheus


def emit(*words: str, folder: Path) -> tuple[int, str]:
    """Type `sonda emit`; gives the status and what it printed."""
    run = subprocess.run(
        [sys.executable, "-m", "sonda", "emit", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_a_log_is_found(loki: Loki, landed: Ledger, tmp_path: Path) -> None:
    """An event that is all options is in Loki once the command has ended."""
    name = uuid4().hex
    words = ["--severity", "info", "--label", f"event={name}", "--field", "version=1.2.2"]
    status, printed = emit(
        "log", "Deploy started", *words, "--to", f"loki={loki.url}", folder=tmp_path
    )
    assert (status, printed.partition(" in ")[0]) == (0, f"delivered to loki {loki.url}")
    [entry] = loki.wait_for(f'{{event="{name}"}}')
    landed.record("loki", sent=1, found=1)
    line = json.loads(entry.line)
    assert (line["message"], line["fields"]) == ("Deploy started", {"version": "1.2.2"})


def test_a_metric_is_found(prometheus: Prometheus, landed: Ledger, tmp_path: Path) -> None:
    """A sample that is all options is in Prometheus, encoder and all."""
    name = f"m_{uuid4().hex}"
    to = f"remote_write={prometheus.write_url}"
    status, printed = emit("metric", name, "-1.5", "--label", "job=ci", "--to", to, folder=tmp_path)
    assert (status, printed.partition(" in ")[0]) == (
        0,
        f"delivered to remote_write {prometheus.write_url}",
    )
    [series] = prometheus.wait_for(name)
    landed.record("prometheus remote_write", sent=1, found=1)
    assert series.labels == {"__name__": name, "job": "ci"}
    assert [value for _, value in series.samples] == [-1.5]


@contextmanager
def swallowing_answers(loki: Loki) -> Iterator[str]:
    """Pass every request on to Loki, and hang up instead of answering."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            loki.request("POST", self.path, body=body, headers={"Content-Type": "application/json"})
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)
        server.server_close()


def test_a_second_try_is_the_same_event(loki: Loki, landed: Ledger, tmp_path: Path) -> None:
    """Events that nobody knew about are sent again from `--failed`, and Loki has each once."""
    name = uuid4().hex
    with swallowing_answers(loki) as url:
        events = [
            changed(
                LOG,
                labels={"event": name},
                log__message=f"{number}",
                sink={"type": "loki", "url": url},
            )
            for number in range(5)
        ]
        (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(e)}\n" for e in events))
        status, printed = emit("events.jsonl", "--failed", "failed.jsonl", folder=tmp_path)
    assert status == 3
    assert "5 events: 5 unknown" in printed
    loki.wait_for(f'{{event="{name}"}}', count=5)
    status, printed = emit("failed.jsonl", "--to", f"loki={loki.url}", folder=tmp_path)
    assert status == 0
    assert "5 events: 5 delivered" in printed
    entries = loki.wait_for(f'{{event="{name}"}}', count=5)
    landed.record("loki", sent=5, found=len(entries))
    assert sorted(json.loads(entry.line)["message"] for entry in entries) == list("01234")
