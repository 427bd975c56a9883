"""Schemathesis sends what the document allows and what it does not, and judges every answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.destinations import http_destination, tcp_destination, udp_destination
from tests.support.serving import serving

pytest.importorskip("schemathesis")

HERE = Path(__file__).parent
# A number, not a time: a busy machine tries as many.
EXAMPLES = {"": 20, "some": 60, "full": 200}[os.environ.get("FUZZ", "")]
SEED = os.environ.get("CONFORMANCE_SEED", "2026")  # the same requests, unless one asks for others
PATIENCE_S = 1_200


@pytest.mark.parametrize(
    ("key", "phases"),
    [("", "examples,coverage,fuzzing"), ("a-key", "examples,fuzzing")],
    ids=["open", "with-key"],
)
def test_the_server_does_what_its_document_says(key: str, phases: str, tmp_path: Path) -> None:
    """Nothing is found: no undocumented answer, no 500, nothing refused that should be taken."""
    flags = ("--request-timeout", "2", "--file-root", str(tmp_path))
    with (
        http_destination() as http,
        tcp_destination() as tcp,
        udp_destination() as udp,
        serving(*flags, environ={"SONDA_API_KEY": key}, folder=tmp_path) as server,
    ):
        command = [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", HERE / "schemathesis.toml"),
            *("run", f"{server.url}/openapi.json"),
            *("--max-examples", str(EXAMPLES), "--generation-database", "none"),
            *("--seed", SEED),
            *("--phases", phases),
            *(("--header", f"Authorization: Bearer {key}") if key else ()),
        ]
        ran = subprocess.run(
            command,
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.conformance.hooks",
                "PYTHONPATH": str(HERE.parents[1]),
                "DESTINATION_HTTP": http.url,
                "DESTINATION_TCP": tcp.address,
                "DESTINATION_UDP": udp.address,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        assert http.posts.items or EXAMPLES < 60  # of a few, none may be right
        tried = re.findall(r" (?:connect|send) to (\S+):[0-9]+: ", server.log)
        assert {*tried} <= {"127.0.0.1"}  # the hooks leave no other target in any body
        assert "Traceback" not in server.log
