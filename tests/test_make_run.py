"""What `make run` tells, and that the Makefile's words are true."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest

ROOT: Final = Path(__file__).parents[1]
RUN: Final = (sys.executable, str(ROOT / "tools" / "run.py"), "--port")
ENVIRON: Final = {k: v for k, v in os.environ.items() if not k.startswith("SONDA_")}
PATIENCE_S: Final = 20


def test_the_banner_names_the_address_that_is_served(tmp_path: Path) -> None:
    """Banner, curl and page have the port that was given, and the server listens there."""
    with subprocess.Popen(
        [*RUN, "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRON, "SONDA_API_KEY": "k"},
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            listens = next(filter(re.compile(r"listening on (http://\S+) ").search, lines))
            url = listens.split("listening on ")[1].split()[0]
            with urlopen(f"{url}/health", timeout=PATIENCE_S) as answer:  # it serves by now
                assert answer.status == 200
        finally:
            process.terminate()
        banner = process.stdout.read()
        assert process.wait(PATIENCE_S) == 0
    assert banner.startswith(f"Sonda answers on {url} in a moment, and {url}/docs is a page")
    assert f"curl {url}/events" in banner
    assert '-H "Authorization: Bearer $SONDA_API_KEY"' in banner
    assert ":8080" not in banner


def test_a_taken_port_is_named_with_the_remedy() -> None:
    """No traceback, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = subprocess.run(
            [*RUN, str(port)], capture_output=True, text=True, env=ENVIRON, check=False
        )
    assert (run.returncode, run.stdout) == (2, "")
    said = f"cannot listen on 127.0.0.1 port {port}: Address already in use; another: "
    assert run.stderr.endswith(f"error: {said}make run PORT=9000\n")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "port", ["65536", "-1", "80000000000", "abc", "", "9000x", "٩", "9" * 5000]
)
def test_what_is_no_port_is_named(port: str) -> None:
    """No traceback, and nothing is started."""
    run = subprocess.run(
        [RUN[0], RUN[1], f"--port={port}"],
        capture_output=True,
        text=True,
        env=ENVIRON,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert " is no port: a number from 0 to 65535, as in make run PORT=9000\n" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "name.invalid"])
def test_an_address_of_another_machine_is_no_matter_of_the_port(host: str) -> None:
    """The remedy is that of the address."""
    run = subprocess.run(
        [*RUN, "0"],
        capture_output=True,
        text=True,
        env={**ENVIRON, "SONDA_BIND": host},
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    remedy = "SONDA_BIND takes an address of this machine, such as 127.0.0.1\n"
    assert run.stderr.endswith(remedy)


@pytest.mark.parametrize(
    ("given", "environ", "port"),
    [
        ((), {}, "8080"),
        ((), {"SONDA_PORT": "9500"}, "9500"),
        (("PORT=9000",), {"SONDA_PORT": "9500"}, "9000"),
        (("PORT=90 00",), {}, "90 00"),
    ],
)
def test_the_port_comes_from_make_or_from_the_environment(
    given: tuple[str, ...], environ: dict[str, str], port: str
) -> None:
    """Every option of the server is a variable, here as elsewhere."""
    run = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/.serves", *given, "run"],
        capture_output=True,
        text=True,
        env={**ENVIRON, **environ},
        cwd=ROOT,
        check=True,
    )
    assert f'tools/run.py --port="{port}"' in run.stdout


def test_every_tier_is_named_in_the_readme() -> None:
    """A newcomer learns of all three, and CI runs what they are made of."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in ("make run", "make test-fast", "make test", "make test-all"):
        assert f"`{target}`" in readme or f"\n{target} " in readme
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    called = [step.split(" ")[1] for step in steps if step.startswith("make ")]
    assert called == ["backends", "test", "test-all"]
