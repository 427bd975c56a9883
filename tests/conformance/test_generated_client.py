"""A client that is generated from the OpenAPI document, and used as its documents say."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.destinations import tcp_destination
from tests.support.serving import serving

pytest.importorskip("openapi_python_client")

CONFIG = Path(__file__).parent / "openapi-python-client.yaml"
PATIENCE_S = 300
USE = """
import json, sys
from sonda_client import Client
from sonda_client.api.default import send_event
from sonda_client.models import LogEvent

url, address = sys.argv[1:]
event = LogEvent.from_dict({
    "signal_type": "logs",
    "labels": {"env": "prod"},
    "log": {"severity": "info", "message": "Deploy started", "fields": {}},
    "encoder": {"type": "json_lines"},
    "sink": {"type": "tcp", "address": address},
})
with Client(base_url=url) as client:
    sent = send_event.sync(client=client, body=event, receipt=True)
    event.sink.address = "127.0.0.1:1"
    refused = send_event.sync(client=client, body=event)
print(json.dumps([type(sent).__name__, sent.to_dict(), type(refused).__name__, refused.to_dict()]))
"""


def test_a_generated_client_sends_an_event_and_reads_both_answers(tmp_path: Path) -> None:
    """It is generated without a warning; its event lands, and a refusal is one of its models."""
    with serving(folder=tmp_path) as server, tcp_destination() as destination:
        document = tmp_path / "openapi.json"
        with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
            document.write_bytes(answer.read())
        made = subprocess.run(
            [
                *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"),
                *("--path", document, "--output-path", tmp_path / "sonda_client"),
                *("--meta", "none", "--config", CONFIG),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        assert "WARNING" not in made.stdout + made.stderr
        used = subprocess.run(
            [sys.executable, "-c", USE, server.url, destination.address],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert used.returncode == 0, used.stderr
        ok, sent, no, refused = json.loads(used.stdout)
        assert (ok, sent["sent"], sent["receipt"]["confirmed"]) == ("Sent", True, "handed_off")
        assert (no, refused["error"]) == ("RefusalBadGateway", "bad_gateway")
        assert b"Deploy started" in destination.received.wait_for_bytes(1)
